// The FCN explorer: every map of a network for one picture. `data` is made by explorer.py.
// All that the page shows follows from the values `at(layer, row, column, channel)`, the weights,
// and from which cells a cell reads: `input.rows[row]` is [first, last] along the rows.

const LISTED = 8;       // products that are listed one by one, before the rest
const SVG = "http://www.w3.org/2000/svg", PADDING = "0";
const HEADS = { right: "m-5 -4l5 4l-5 4", left: "m5 -4l-5 4l5 4", down: "m-4 -5l4 5l4 -5", up: "m-4 5l4 -5l4 5" };

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (name in element && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const table = (heads, rows, name) => make("table", { className: name },
  make("thead", {}, make("tr", {}, ...heads.map(head => make("th", { scope: "col" }, head)))),
  make("tbody", {}, ...rows.map(row => make("tr", {}, ...row.map(cell => make("td", {}, cell))))));
const digits = (value, count = 4) => String(Number(value.toPrecision(count)));
const between = ([first, last]) => first === last ? `${first}` : `${first} to ${last}`;
const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));
const sum = values => values.reduce((total, value) => total + value, 0);

// float32 numbers without their lowest byte, the three others apart, compressed, in base64.
async function decode({ shape, bytes }) {
  const packed = Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / 3, words = new Uint32Array(count);
  for (let i = 0; i < count; i++)
    words[i] = planes[i] << 8 | planes[count + i] << 16 | planes[2 * count + i] << 24;
  return { shape, values: new Float32Array(words.buffer) };
}

async function start(root, data) {
  const layers = new Map(data.layers.map(layer => [layer.name, layer])), output = layers.get("output");
  for (const layer of data.layers) {
    if (layer.map) layer.values = (await decode(layer.map)).values;
    if (layer.weight) layer.weight = await decode(layer.weight);
    layer.known = layer.map !== null || layer === output;
  }
  const mask = (await decode(data.mask)).values;
  const state = { layer: output, row: 0, column: 0, channel: 0, pixel: null };

  // -- numbers -------------------------------------------------------------------------------------

  function at(layer, row, column, channel) {
    if (layer === output && !layer.map) {       // cut out of the upsampled scores
      const [input] = layer.inputs;
      return at(layers.get(input.from), input.rows[row][0], input.columns[column][0], channel);
    }
    const place = layer.channels.indexOf(channel), count = layer.channels.length;
    return layer.map && place >= 0 ? layer.values[(row * layer.size[1] + column) * count + place] : NaN;
  }

  function winner(layer, row, column) {
    if (layer === output) return mask[row * layer.size[1] + column];
    const scores = data.classes.map((_, k) => at(layer, row, column, k));
    return scores.indexOf(Math.max(...scores));
  }

  // What a cell depends on: the name of each layer before -> [[first, last] row, [first, last] column].
  function influences(layer, row, column) {
    const found = new Map([[layer.name, [[row, row], [column, column]]]]);
    for (const each of [...data.layers].reverse())
      for (const input of found.has(each.name) ? each.inputs : []) {
        const { size } = layers.get(input.from), cells = found.get(each.name);
        const read = [input.rows, input.columns].map((reads, k) => [
          Math.max(0, reads[cells[k][0]][0]), Math.min(size[k] - 1, reads[cells[k][1]][1])]);
        if (read.some(([first, last]) => last < first)) continue;       // nothing but padding
        const other = found.get(input.from) ?? read;
        found.set(input.from, read.map(([first, last], k) => [
          Math.min(first, other[k][0]), Math.max(last, other[k][1])]));
      }
    return found;
  }

  // The products that add up to one value: x from cell (a, b, c) times w, place (i, j) of the kernel.
  function products(layer, row, column, f) {
    const found = [], { shape, values } = layer.weight ?? {}, { stride, padding } = layer;
    for (const input of layer.inputs) {
      const source = layers.get(input.from), [top, bottom] = input.rows[row], [left, right] = input.columns[column];
      const channels = shape?.length === 4 ? [...Array(source.size[2]).keys()] : [f];
      for (let a = Math.max(0, top); a <= Math.min(bottom, source.size[0] - 1); a++)
        for (let b = Math.max(0, left); b <= Math.min(right, source.size[1] - 1); b++) {
          const [i, j] = layer.kind === "upsample"
            ? [row + padding - a * stride, column + padding - b * stride] : [a - top, b - left];
          for (const c of channels) {
            const x = at(source, a, b, c) * layer.scale, k = shape ? i * shape[1] + j : 0;
            const w = !shape ? 1 : shape.length === 2 ? values[k] : values[(k * shape[2] + c) * shape[3] + f];
            found.push({ source, a, b, c, i, j, x, w, product: x * w });
          }
        }
    }
    return found;
  }

  const centre = ({ layer, row, column }) => [row, column].map((cell, k) => layer.origin[k] + cell * layer.step);
  const nearest = (layer, place) => place.map((pixel, k) => Math.round((pixel - layer.origin[k]) / layer.step));
  const slope = layer => state.pixel?.slopes.get(layer.name);        // the gradient, if one is shown
  const channelsOf = layer => slope(layer)?.channels ?? layer.channels;
  const nameOf = (layer, channel) => layer.scores ? data.classes[channel] : layer.kind === "image"
    ? data.colours[channel] : `channel ${channel}`;

  // -- pictures ------------------------------------------------------------------------------------

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const picture = make("img", { src: `data:image/png;base64,${data.picture}` });

  // One channel, blue below zero and orange above; or, for channel null, the winning classes.
  function paint(canvas, layer, channel) {
    const [height, width] = layer.size, { channels, values } = slope(layer) ?? {};
    const style = getComputedStyle(root), image = new ImageData(width, height), numbers = [];
    const colour = name => style.getPropertyValue(name).split(",").map(Number);
    const [low, high, zero] = [colour("--negative"), colour("--positive"), dark.matches ? [38, 42, 47] : [247, 247, 247]];
    for (let k = 0; k < height * width; k++)
      numbers.push(channel === null ? winner(layer, Math.floor(k / width), k % width)
        : values ? values[k * channels.length + channels.indexOf(channel)]
        : at(layer, Math.floor(k / width), k % width, channel));
    const most = numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 1e-30);
    numbers.forEach((number, k) => {
      const end = number < 0 ? low : high, share = Math.abs(number) / most;
      image.data.set(channel === null ? data.palette[number] : zero.map((from, c) => from + (end[c] - from) * share), 4 * k);
      image.data[4 * k + 3] = 255;
    });
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function paintPicture(canvas) {
    [canvas.height, canvas.width] = data.size;
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }

  // Lay a rectangle over the cells of a map: [[first, last] row, [first, last] column].
  function mark(element, size, cells) {
    element.hidden = !cells;
    cells?.forEach(([first, last], k) => {
      element.style[["top", "left"][k]] = `${100 * first / size[k]}%`;
      element.style[["height", "width"][k]] = `${100 * (last - first + 1) / size[k]}%`;
    });
  }

  // A map in which a click or the arrow keys choose a cell: `pick` gets a function of the cell now.
  function largeMap(label, pick) {
    const canvas = make("canvas"), [field, cursor] = ["field", "cursor"].map(className => make("span", { className }));
    canvas.onclick = event => pick(() => [Math.floor(event.offsetY / canvas.clientHeight * canvas.height),
                                          Math.floor(event.offsetX / canvas.clientWidth * canvas.width)]);
    const onkeydown = event => {
      const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      pick(cell => cell.map((old, k) => old + way[k] * (event.shiftKey ? 8 : 1)));
    };
    const box = make("div", { className: "map", tabIndex: 0, role: "application", "aria-label": label, onkeydown }, canvas, field, cursor);
    return { box, canvas, field, cursor };
  }

  // -- the network ---------------------------------------------------------------------------------

  const lines = document.createElementNS(SVG, "svg");
  for (const layer of data.layers) {
    const share = extent => extent / Math.max(...layer.size.slice(0, 2));
    layer.canvas = make("canvas");
    layer.field = make("span", { className: "field" });
    layer.tile = make("span", { className: "tile", style: `--tall: ${share(layer.size[0])}; --wide: ${share(layer.size[1])}` }, layer.canvas, layer.field);
    layer.button = make("button", { className: `layer row${layer.place[0]}`, style: `grid-area: ${layer.place.join(" / ")}`,
      title: layer.says, disabled: !layer.known, onclick: () => choose({ layer }) },
      layer.tile, make("b", {}, layer.name), make("small", {}, layer.size.join(" × ")));
  }
  const network = make("div", { className: "network", role: "group", "aria-label": "The network: choose a layer" },
    lines, ...data.layers.map(layer => layer.button));

  // Arrows along a row, to the row below or above, and, for the skips, under their row.
  function drawArrows() {
    const boxOf = ({ button, tile, place }) => {
      const left = button.offsetLeft + tile.offsetLeft, top = button.offsetTop + tile.offsetTop;
      return { left, top, right: left + tile.offsetWidth, x: left + tile.offsetWidth / 2, row: place[0],
               y: top + tile.offsetHeight / 2, foot: button.offsetTop + button.offsetHeight };
    };
    lines.replaceChildren(...data.layers.flatMap(layer => layer.inputs.map(input => {
      const a = boxOf(layers.get(input.from)), b = boxOf(layer), skip = layer.name.startsWith("score_pool");
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", skip ? "skip" : layer.kind);
      path.setAttribute("d", skip ? `M${a.x} ${a.foot}v7q0 6 6 6H${b.x - 6}q6 0 6 -6v-5${HEADS.up}`
        : a.row < b.row ? `M${a.x} ${a.foot}C${a.x} ${a.foot + 22} ${b.x} ${b.top - 26} ${b.x} ${b.top - 4}${HEADS.down}`
        : a.row > b.row ? `M${a.right + 3} ${a.y}Q${b.x} ${a.y} ${b.x} ${b.foot + 4}${HEADS.up}`
        : a.x < b.x ? `M${a.right + 3} ${a.y}H${b.left - 4}${HEADS.right}` : `M${a.left - 3} ${a.y}H${b.right + 4}${HEADS.left}`);
      return path;
    })));
  }

  // -- the chosen cell -----------------------------------------------------------------------------

  const [title, mapTitle, caption, channels, sums, scores, way] =
    ["h2", "figcaption", "p", "div", "div", "div", "div"].map(tag => make(tag));
  channels.className = "channels";
  caption.setAttribute("aria-live", "polite");
  const onPicture = largeMap("The picture: choose a pixel", pick => choose({ layer: output, cell: pick(nearest(output, centre(state))) }));
  const onMap = largeMap("The map: choose a cell", pick => choose({ cell: pick([state.row, state.column]) }));
  const shown = make("select", { onchange: () => showGradient(data.pixels[shown.value]) },
    make("option", { value: "" }, "the maps"), ...data.pixels.map(({ row, column, winner, score }, k) => make("option", { value: k },
      `the gradient of the score of ${data.classes[winner]}, ${digits(score)}, at row ${row}, column ${column}`)));
  root.append(make("div", { className: "explorer" },
    make("label", { className: "shown" }, "Show in every layer ", shown), network,
    make("section", { className: "chosen", "aria-label": "The chosen cell" }, title, caption,
      make("div", { className: "pair" },
        make("figure", {}, make("figcaption", {}, "What it sees of the picture"), onPicture.box), make("figure", {}, mapTitle, onMap.box)),
      channels, make("h3", {}, "How this number is made"), sums, make("h3", {}, "The scores here"), scores,
      make("h3", {}, "The way here"), way)));

  async function showGradient(pixel) {
    const slopes = new Map();
    for (const [name, { channels, map }] of Object.entries(pixel?.gradients ?? {}))
      slopes.set(name, { channels, values: (await decode(map)).values });
    state.pixel = pixel && { ...pixel, slopes };
    drawNetwork();
    choose(pixel ? { layer: output, cell: [pixel.row, pixel.column], channel: pixel.winner } : {});
  }

  function drawNetwork() {
    for (const layer of data.layers)
      if (layer.kind === "image" && !state.pixel) paintPicture(layer.canvas);
      else if (layer.known) paint(layer.canvas, layer, layer.scores ? state.pixel?.winner ?? null : channelsOf(layer)[0]);
  }

  // Choose another layer, cell or channel; what is not said stays, as far as it can.
  function choose({ layer = state.layer, cell, channel }) {
    cell ??= layer === state.layer ? [state.row, state.column] : nearest(layer, centre(state));
    const [row, column] = cell.map((each, k) => clamp(each, layer.size[k]));
    channel ??= layer === state.layer ? state.channel : layer.scores ? winner(layer, row, column) : channelsOf(layer)[0];
    if (!channelsOf(layer).includes(channel)) [channel] = channelsOf(layer);
    Object.assign(state, { layer, row, column, channel, source: null });
    draw();
  }

  function draw() {
    const { layer, row, column, channel, pixel } = state, found = influences(layer, row, column), seen = found.get("image");
    for (const each of data.layers) {
      each.button.setAttribute("aria-pressed", each === layer);
      mark(each.field, each.size, found.get(each.name));
    }
    title.textContent = `${layer.name}, ${nameOf(layer, channel)}`;
    caption.replaceChildren(`Row ${row}, column ${column}: `, make("b", {}, digits(at(layer, row, column, channel))), ". "
      + (seen ? `It sees rows ${between(seen[0])} and columns ${between(seen[1])} of the picture.` : "It sees nothing but padding."));
    if (pixel) {
      const { channels, values } = slope(layer), here = values[(row * layer.size[1] + column) * channels.length + channels.indexOf(channel)];
      caption.append(` The score of ${data.classes[pixel.winner]} at row ${pixel.row}, column ${pixel.column} changes by `,
        make("b", {}, digits(here, 3)), " times what it changes.");
    }
    mapTitle.textContent = layer.says;
    paintPicture(onPicture.canvas);
    mark(onPicture.field, data.size, seen);
    mark(onPicture.cursor, data.size, centre(state).map(pixel => [pixel, pixel]));
    paint(onMap.canvas, layer, channel);
    mark(onMap.cursor, layer.size, [[row, row], [column, column]]);
    onMap.field.hidden = true;
    channels.replaceChildren(...channelsOf(layer).map(each => {
      const canvas = make("canvas");
      paint(canvas, layer, each);
      return make("button", { ariaPressed: each === channel, onclick: () => choose({ channel: each }) }, canvas, make("small", {}, nameOf(layer, each)));
    }));
    drawSums();
    drawScores();
    way.replaceChildren(table(["layer", "rows", "columns", "what it does"], [...found].reverse().map(([name, [rows, columns]]) => [
      make("button", { disabled: !layers.get(name).known, onclick: () => choose({ layer: layers.get(name) }) }, name),
      between(rows), between(columns), layers.get(name).says])));
  }

  function drawScores() {
    const { layer, row, column } = state, place = nearest(output, centre(state)).map((pixel, k) => clamp(pixel, data.size[k]));
    const columns = [[output, ...place], ...(layer.scores && layer !== output ? [[layer, row, column]] : [])];
    const most = Math.max(...data.classes.map((_, k) => Math.abs(at(output, ...place, k))));
    scores.replaceChildren(table(["class", ...columns.map(([{ name }, row, column]) => `${name} ${row}, ${column}`), ""], data.classes.map((name, k) => [
      make("span", { className: "class" }, make("i", { style: `background: rgb(${data.palette[k]})` }), name),
      ...columns.map(place => digits(at(...place, k))),
      make("span", { className: "bar", style: `--share: ${at(output, ...place, k) / most}` })])));
  }

  function drawSums() {
    const { layer, row, column, channel } = state, all = products(layer, row, column, channel);
    const label = ({ source, a, b, c }) => `${source.name}[${a}, ${b}, ${source.scores ? data.classes[c] : c}]`;
    const said = text => make("p", {}, text), bias = layer.bias?.[channel], total = sum(all.map(each => each.product)) + (bias ?? 0);
    if (layer.kind === "image") return sums.replaceChildren(said(layer.says));
    if (layer.kind === "pool") return sums.replaceChildren(said(`The largest of ${all.map(each => digits(each.x)).join(", ")} is ${digits(Math.max(...all.map(each => each.x)))}.`));
    if (isNaN(total) || !layer.weight && /conv|upsample/.test(layer.kind)) return sums.replaceChildren(said(layer.absent));
    all.sort((p, q) => Math.abs(q.product) - Math.abs(p.product));
    const rest = all.slice(LISTED);
    sums.replaceChildren(table(["value", "", "× weight", "= product"], [
      ...all.slice(0, LISTED).map(each => [label(each), digits(each.x), digits(each.w), digits(each.product)]),
      ...(rest.length ? [[`the other ${rest.length}`, "", "", digits(sum(rest.map(each => each.product)))]] : []),
      ...(bias === undefined ? [] : [["bias", "", "", digits(bias)]]), ["sum", "", "", digits(total)],
      ...(layer.relu ? [["ReLU: max(0, sum)", "", "", digits(Math.max(0, total))]] : [])]));
  }

  await picture.decode();
  drawNetwork();
  const { row, column, winner: channel } = data.pixels[data.first] ?? { row: 0, column: 0 };
  choose({ cell: [row, column], channel });
  new ResizeObserver(drawArrows).observe(network);
  dark.addEventListener("change", () => { drawNetwork(); draw(); });
}
