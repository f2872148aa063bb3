// The FCN explorer: every map of a network for one picture. `data` is made by explorer.py.
// All that the page shows follows from the values at(layer, row, column, channel), the weights, and
// from which cells a cell reads: input.rows[row] is [first, last], and input.columns[column] alike.
const LISTED = 8;       // products that are listed one by one; the rest is one sum
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (name in element && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const table = (className, heads, rows) => make("table", { className },
  heads.length ? make("tr", {}, ...heads.map(head => make("th", { scope: "col" }, head))) : "",
  ...rows.map(row => make("tr", {}, ...row.map(cell => make("td", {}, cell)))));
const digits = (value, count = 4) => isNaN(value) ? "not on this page" : String(Number(value.toPrecision(count)));
const between = ([first, last]) => first === last ? `${first}` : `${first} to ${last}`;
const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));
const total = products => products.reduce((sum, { product }) => sum + product, 0);
const larger = (p, q) => Math.abs(q.product) - Math.abs(p.product);

// float32 numbers without their lowest byte: the other bytes in three planes, compressed, in base64.
async function decode({ shape, bytes }) {
  const packed = Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0));
  const stream = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")));
  const planes = new Uint8Array(await stream.arrayBuffer());
  const count = planes.length / 3, words = new Uint32Array(count);
  for (let i = 0; i < count; i++) words[i] = planes[i] << 8 | planes[count + i] << 16 | planes[2 * count + i] << 24;
  return { shape, values: new Float32Array(words.buffer) };
}

async function start(root, data) {
  if (!window.DecompressionStream) throw new Error("It needs Chrome or Edge 80, Firefox 113, Safari 16.4 or newer: this browser is too old.");
  const layers = new Map(data.layers.map(layer => [layer.name, layer])), output = layers.get("output");
  for (const layer of data.layers) {
    if (layer.map) layer.values = (await decode(layer.map)).values;
    if (layer.weight) layer.weight = await decode(layer.weight);
    for (const input of layer.inputs) input.layer = layers.get(input.from);
  }
  const mask = (await decode(data.mask)).values;
  const picture = make("img", { src: `data:image/png;base64,${data.picture}` });
  await picture.decode();
  const state = { layer: output, row: 0, column: 0, channel: 0, source: null, pixel: null };

  // -- numbers -----------------------------------------------------------------------------------
  function at(layer, row, column, channel, { channels, values } = layer) {
    const [input] = layer.inputs, place = channels.indexOf(channel), cell = row * layer.size[1] + column;
    if (!values && layer === output)        // it is cut out of the upsampled scores
      return at(input.layer, input.rows[row][0], input.columns[column][0], channel);
    return values && place >= 0 ? values[cell * channels.length + place] : NaN;
  }
  const slope = layer => state.pixel?.slopes.get(layer.name);     // the gradient, where one is shown
  const channelsOf = layer => slope(layer)?.channels ?? layer.channels;
  const nameOf = (layer, channel, word = "channel ") => layer.labels?.[channel] ?? word + channel;
  const centre = () => [state.row, state.column].map((cell, k) => state.layer.origin[k] + cell * state.layer.step);
  const nearest = (layer, place) => place.map((pixel, k) =>
    clamp(Math.round((pixel - layer.origin[k]) / layer.step), layer.size[k]));

  function winner(layer, row, column) {
    const scores = data.classes.map((_, k) => at(layer, row, column, k));
    return layer === output ? mask[row * layer.size[1] + column] : scores.indexOf(Math.max(...scores));
  }

  // Which cells of the layers before, back to the image, a cell depends on: name -> [rows, columns].
  function influences(layer, row, column) {
    const found = new Map([[layer.name, [[row, row], [column, column]]]]);
    for (const each of [...data.layers].reverse())
      for (const input of found.has(each.name) ? each.inputs : []) {
        const cells = found.get(each.name);
        const read = [input.rows, input.columns].map((reads, k) => [
          Math.max(0, reads[cells[k][0]][0]), Math.min(input.layer.size[k] - 1, reads[cells[k][1]][1])]);
        if (read.some(([first, last]) => last < first)) continue;       // nothing but padding
        found.set(input.from, (found.get(input.from) ?? read).map(([first, last], k) => [
          Math.min(first, read[k][0]), Math.max(last, read[k][1])]));
      }
    return found;
  }

  // The products of which a value is the sum: x in cell (a, b, c) times w in place (i, j) of the kernel.
  function products(layer, row, column, f) {
    const found = [], { shape, values } = layer.weight ?? {}, { stride, padding } = layer;
    for (const { layer: source, rows, columns } of layer.inputs) {
      const [[top, bottom], [left, right]] = [rows[row], columns[column]];
      for (let a = Math.max(0, top); a <= Math.min(bottom, source.size[0] - 1); a++)
        for (let b = Math.max(0, left); b <= Math.min(right, source.size[1] - 1); b++) {
          const [i, j] = layer.kind === "upsampling"
            ? [row + padding - a * stride, column + padding - b * stride] : [a - top, b - left];
          for (const c of shape?.length === 4 ? Array(source.size[2]).keys() : [f]) {
            const x = at(source, a, b, c) * layer.scale, k = shape ? i * shape[1] + j : 0;
            const w = !shape ? 1 : values[shape.length === 2 ? k : (k * shape[2] + c) * shape[3] + f];
            found.push({ source, a, b, c, i, j, x, w, product: x * w });
          }
        }
    }
    return found;
  }

  // -- maps --------------------------------------------------------------------------------------
  // A channel, blue below zero and orange above; or, of no channel, the winning classes or the picture.
  function paint(canvas, layer, channel) {
    const [height, width] = layer.size, context = canvas.getContext("2d"), image = new ImageData(width, height);
    [canvas.width, canvas.height] = [width, height];
    if (channel === null && layer.kind === "image") return context.drawImage(picture, 0, 0);
    const numbers = Array.from({ length: height * width }, (_, k) => channel === null
      ? winner(layer, Math.floor(k / width), k % width) : at(layer, Math.floor(k / width), k % width, channel, slope(layer)));
    const most = numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 1e-30);
    const shade = slope(layer) ? Math.sqrt : Math.abs;      // gradients fade fast
    const style = getComputedStyle(network), [zero, low, high] = [style.backgroundColor.match(/[\d.]+/g),
      ...["--negative", "--positive"].map(name => style.getPropertyValue(name).split(","))].map(each => each.map(Number));
    numbers.forEach((number, k) => image.data.set([...(channel === null ? data.palette[number] : zero.map((from, c) =>
      from + ((number < 0 ? low : high)[c] - from) * shade(Math.abs(number) / most))).slice(0, 3), 255], 4 * k));
    context.putImageData(image, 0, 0);
  }
  // Lay an element over cells of a map.
  function mark(element, size, cells) {
    element.hidden = !cells;
    cells?.forEach(([first, last], k) => Object.assign(element.style, { [k ? "left" : "top"]: `${100 * first / size[k]}%`,
      [k ? "width" : "height"]: `${100 * (last - first + 1) / size[k]}%` }));
  }

  // Let a click or the arrow keys choose a cell; `pick` gets a function of the cell before.
  function largeMap(box, pick) {
    const [canvas, field, cursor] = box.children;
    canvas.onclick = event => pick(() => [Math.floor(event.offsetY / canvas.clientHeight * canvas.height),
                                          Math.floor(event.offsetX / canvas.clientWidth * canvas.width)]);
    box.onkeydown = event => {
      const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (way) event.preventDefault(); else return;
      pick(cell => cell.map((old, k) => old + way[k] * (event.shiftKey ? 8 : 1)));
    };
    return { canvas, field, cursor };
  }

  // -- the chosen cell ---------------------------------------------------------------------------
  root.append(make("div", { className: "explorer", innerHTML: data.view }));
  const [network, shown, title, caption, does, rule, channels, sums, scores, way] = [".network", "select", "h2",
    ".caption", ".does", ".rule", ".channels", ".sums", ".scores", ".way"].map(name => root.querySelector(name));
  const [pictureBox, mapBox] = root.querySelectorAll(".map");
  const onPicture = largeMap(pictureBox, pick => choose({ layer: output, cell: pick(nearest(output, centre())) }));
  const onMap = largeMap(mapBox, pick => choose({ cell: pick([state.row, state.column]) }));
  paint(onPicture.canvas, layers.get("image"), null);
  shown.onchange = () => showGradient(data.pixels[shown.value]);
  network.querySelectorAll("button").forEach((button, k) => {
    const [canvas, field] = button.querySelectorAll("canvas, .field");
    Object.assign(data.layers[k], { button, canvas, field });
    button.onclick = () => choose({ layer: data.layers[k] });
  });

  async function showGradient(pixel) {
    const slopes = new Map();
    for (const [name, slope] of Object.entries(pixel?.gradients ?? {}))
      slopes.set(name, { ...slope, ...await decode(slope.map) });
    if (pixel !== data.pixels[shown.value]) return;     // meanwhile another one was asked for
    state.pixel = pixel ? { ...pixel, slopes } : null;
    choose({ cell: pixel && nearest(state.layer, [pixel.row, pixel.column]) });
  }
  // Choose another layer, cell or channel; what is not said stays, as far as it can.
  function choose({ layer = state.layer, cell, channel }) {
    cell ??= layer === state.layer ? [state.row, state.column] : nearest(layer, centre());
    const [row, column] = cell.map((each, k) => clamp(each, layer.size[k]));
    channel ??= layer === state.layer ? state.channel : layer.scores ? winner(layer, row, column) : channelsOf(layer)[0];
    if (!channelsOf(layer).includes(channel)) [channel] = channelsOf(layer);
    Object.assign(state, { layer, row, column, channel, source: null });
    draw();
  }

  function draw() {
    const { layer, row, column, channel, pixel } = state, found = influences(layer, row, column);
    const seen = found.get("image"), number = digits(at(layer, row, column, channel));
    for (const each of data.layers) {
      if (each.known && network.shown !== pixel) paint(each.canvas, each, each.scores ? pixel?.winner ?? null
        : each.kind === "image" && !pixel ? null : channelsOf(each)[0]);
      each.button.setAttribute("aria-pressed", each === layer);
      mark(each.field, each.size, found.get(each.name));
    }
    network.shown = pixel;      // its tiles stay as they are until another gradient is shown
    title.textContent = `${layer.name}, ${nameOf(layer, channel)}`;
    caption.replaceChildren(`Row ${row}, column ${column}: `, make("b", {}, number), ". ", seen
      ? `It sees rows ${between(seen[0])} and columns ${between(seen[1])} of the picture.` : "It sees nothing but padding.");
    if (pixel) caption.append(" Gradient: ", make("b", {}, digits(at(layer, row, column, channel, slope(layer)), 3)),
      `. ${pixel.meaning}`);
    does.textContent = `${layer.name}: ${layer.says}`;
    mark(onPicture.field, data.size, seen);
    mark(onPicture.cursor, data.size, centre().map(pixel => [pixel, pixel]));
    paint(onMap.canvas, layer, channel);
    mark(onMap.cursor, layer.size, [[row, row], [column, column]]);
    drawChannels(layer, channel);
    drawSums();
    drawScores(nearest(output, centre()));
    way.replaceChildren(table("way", ["layer", "rows", "columns", "what it does"],
      data.layers.filter(each => found.has(each.name)).reverse().map(each => [
        make("button", { disabled: !each.known, onclick: () => { choose({ layer: each }); mapBox.focus(); } }, each.name),
        ...found.get(each.name).map(between), each.says])));
  }
  // The tiles stay for the next cell, and with them the keyboard's focus.
  function drawChannels(layer, channel) {
    const shown = channelsOf(layer);
    if (channels.shown !== shown) channels.replaceChildren(...shown.map(each => {
      const canvas = make("canvas");
      paint(canvas, layer, each);
      return make("button", { onclick: () => choose({ channel: each }) }, canvas, make("small", {}, nameOf(layer, each, "")));
    }));
    channels.shown = shown;
    rule.textContent = slope(layer)?.rule ?? layer.rule;
    shown.forEach((each, k) => channels.children[k].setAttribute("aria-pressed", each === channel));
  }

  function drawScores(pixel) {
    const { layer, row, column } = state, places = [[output, ...pixel]];
    if (layer.scores && layer !== output) places.push([layer, row, column]);
    const most = Math.max(...data.classes.map((_, k) => Math.abs(at(output, ...pixel, k))));
    scores.replaceChildren(table("", ["class", ...places.map(([{ name }, a, b]) => `${name} at ${a}, ${b}`), ""],
      data.classes.map((name, k) => [make("span", {}, make("i", { style: `background: rgb(${data.palette[k]})` }), name),
        ...places.map(place => digits(at(...place, k))), make("b", { style: `--share: ${at(output, ...pixel, k) / most}` })])));
  }

  function drawSums() {
    const { layer, row, column, channel } = state, all = products(layer, row, column, channel).sort(larger);
    const label = ({ source, a, b, c }) => `${source.name} at ${a}, ${b}, ${nameOf(source, c)}`;
    const bias = layer.bias?.[channel] ?? 0, sum = total(all) + bias, rest = all.slice(LISTED);
    if (layer.kind === "image" || layer.absent || isNaN(sum)) return sums.replaceChildren(layer.absent ?? layer.says);
    if (layer.kind === "pool")
      return sums.replaceChildren(table("", ["the largest of", ""], all.map(each => [label(each), digits(each.x)])));
    const rows = all.slice(0, LISTED).map(each => [label(each), digits(each.x), digits(each.w), digits(each.product)]);
    if (rest.length) rows.push([`${rest.length} more products`, "", "", digits(total(rest))]);
    if (layer.bias) rows.push(["bias", "", "", digits(bias)]);
    rows.push(["sum", "", "", digits(sum)]);
    if (layer.relu) rows.push(["ReLU: the sum, or 0 if it is below", "", "", digits(Math.max(0, sum))]);
    sums.replaceChildren(table("", ["value", "", "× weight", "= product"], rows));
    if (layer.kind === "convolution" && layer.weight.shape[0] > 1) return drawWindow(all, layer);
  }

  // The window in one channel of the input: value, weight and product in each place.
  function drawWindow(all, { weight: { shape: [height, width] }, inputs: [{ layer: source }] }) {
    const parts = new Map();
    for (const each of all) parts.set(each.c, [...parts.get(each.c) ?? [], each]);
    const inOrder = [...parts].map(([c, part]) => ({ c, product: total(part) })).sort(larger);
    const select = make("select", { onchange: () => { state.source = Number(select.value); drawSums().focus(); } },
      ...inOrder.map(({ c, product }) => make("option", { value: c }, `${nameOf(source, c)}: ${digits(product)}`)));
    select.value = state.source ??= inOrder[0]?.c;
    const cells = Array.from({ length: height }, () => Array(width).fill("padding"));
    for (const { i, j, x, w, product } of parts.get(state.source) ?? [])
      cells[i][j] = `${digits(x, 3)}\n× ${digits(w, 3)}\n= ${digits(product, 3)}`;
    sums.append(make("label", {}, `The window in ${source.name}, `, select), table("window", [], cells));
    return select;
  }

  const { row, column, winner: channel } = data.pixels[data.first] ?? { row: 0, column: 0 };
  choose({ cell: [row, column], channel });
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { network.shown = channels.shown = 0; draw(); };
}
