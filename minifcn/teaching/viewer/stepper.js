// The stepper: replays the steps of a trace on its arrays and shows what each one reads and writes.
// data.steps[k] = [template, cells read, (cells, values) written, (number, value) changed by loops,
//                  tests, rounds of loops begun]; see minifcn/teaching/stepper.py.

function start(root, data) {
  const replay = makeReplay(data);
  const view = element(root, "div", "stepper", { role: "region", "aria-label": `Stepper of ${data.name}` });
  view.dataset.lmSuppressShortcuts = "true";           // JupyterLab leaves the keys to us

  // ---- the parts of the page ----
  const head = element(view, "div", "head");
  const where = element(head, "p", "where");
  const formula = element(head, "p", "formula");
  const caption = element(head, "p", "unseen", { "aria-live": "polite" });
  const controls = element(head, "div", "controls", { role: "group", "aria-label": "Steps" });
  const buttons = {};
  for (const [name, text, title, action] of [
    ["start", "⏮", "To the start (Home)", () => goTo(0)],
    ["back", "◀ Back", "One step back (← or b)", () => move(-1)],
    ["play", "▶ Play", "Play or pause (space)", () => play(!timer)],
    ["step", "Step ▶", "One step on (→ or s)", () => move(1)],
    ["cell", "Next output cell ⇥", "To where the next cell of the output is finished (n)", nextCell],
    ["end", "⏭", "To the end (End)", () => goTo(replay.count)],
  ]) {
    buttons[name] = element(controls, "button", name, { type: "button", title, "aria-label": title }, text);
    buttons[name].addEventListener("click", () => { if (name !== "play") play(false); action(); });
  }
  const by = labelled(controls, "Step by", "select");
  for (const [value, text] of granularities()) element(by, "option", "", { value }, text);
  const speed = labelled(controls, "Speed", "select");
  for (const [value, text] of [[1600, "slow"], [700, "normal"], [150, "fast"]]) {
    element(speed, "option", "", { value }, text);
  }
  speed.value = 700;
  const slider = element(head, "input", "slider",
    { type: "range", min: 0, max: replay.count, value: 0, "aria-label": "Step" });
  slider.addEventListener("input", () => { play(false); goTo(Number(slider.value)); });

  const body = element(view, "div", "body");
  const side = element(body, "div", "side");
  const lines = makeSource(side);
  const numbers = element(side, "p", "numbers", { "aria-label": "Local numbers" });
  const main = element(body, "div", "main");
  const story = element(main, "div", "story", { role: "region", "aria-label": "About a cell", tabindex: 0 });
  const arrays = element(main, "div", "arrays");
  const cells = data.arrays.map((array, number) => makeArray(arrays, array, number));
  element(view, "p", "help", {}, "Keys: → or s step, ← or b back, space play, n next output cell, Home, End. "
    + "Point at a cell, or move to it with Tab and the arrow keys, to see what made it and where it goes.");

  // ---- moving ----
  let timer = 0;
  let chosen = null;              // the cell that is asked about: [array, cell]
  let marked = [];

  function goTo(position) {
    const changed = replay.goTo(position);
    for (const key of changed) paint(...replay.cellOf(key));
    show();
  }

  function move(direction) {
    goTo(replay.seek(by.value, direction));
  }

  function nextCell() {
    goTo(replay.seek("cell", 1));
  }

  function play(on) {
    clearInterval(timer);
    timer = 0;
    if (on) {
      if (replay.position === replay.count) goTo(0);
      timer = setInterval(() => {
        if (!view.isConnected || replay.position === replay.count) play(false);
        else move(1);
      }, Number(speed.value));
    }
    buttons.play.textContent = on ? "⏸ Pause" : "▶ Play";
    caption.setAttribute("aria-live", on ? "off" : "polite");
  }

  function granularities() {
    const loops = data.loops.map(([, line, text], k) => [`loop ${k}`, `round of line ${line}: ${text}`]);
    return [["line", "line"], ["cell", "finished output cell"], ...loops];
  }

  // ---- showing a step ----
  function show() {
    for (const [cell, name] of marked) cell.classList.remove(name);
    marked = [];
    const k = replay.position - 1;
    buttons.start.disabled = buttons.back.disabled = k < 0;
    buttons.step.disabled = buttons.cell.disabled = buttons.end.disabled = k + 1 === replay.count;
    slider.value = k + 1;
    formula.textContent = "";
    if (k < 0) {
      where.textContent = `${replay.count} steps. Press Step.`;
      formula.append(data.name);
      lines.mark(null);
    } else {
      const { left, right, result, rounded } = replay.line(k);
      const { source, line } = replay.template(k);
      where.textContent = `Step ${k + 1} of ${replay.count}, ${data.sources[source].name}, line ${line}`
        + replay.tests(k).map((test) => `; ${test}`).join("");
      element(formula, "span", "left", {}, left);
      element(formula, "span", "arrow", {}, "→");
      element(formula, "span", "right", {}, `${right} ${rounded ? "≈" : "="} `);
      element(formula, "strong", "result", {}, result);
      lines.mark(source, line);
      for (const [array, cell] of replay.reads(k)) mark(array, cell, "read");
      for (const [array, cell] of replay.writes(k)) mark(array, cell, "written");
    }
    if (data.error && k + 1 === replay.count) {
      element(formula, "span", "error", {}, `Then line ${data.error.line} raised ${data.error.text}`);
    }
    numbers.textContent = "";
    for (const [name, value] of replay.numbers()) {
      element(numbers, "span", "", {}, name);
      numbers.append(` ${format(value)}  `);
    }
    caption.textContent = `${where.textContent}. ${formula.textContent}`;
    slider.setAttribute("aria-valuetext", where.textContent);
    tell();
  }

  function mark(array, cell, name) {
    cells[array][cell].classList.add(name);
    marked.push([cells[array][cell], name]);
  }

  function paint(array, cell) {
    const value = replay.value(array, cell);
    const box = cells[array][cell];
    box.textContent = value === undefined ? "" : format(value, 3);
    box.title = `${replay.label(array, cell)} = ${value === undefined ? "not yet written" : format(value, 17)}`;
    const level = Number.isFinite(value) ? Math.min(1, Math.abs(value) / replay.largest[array]) : 0;
    box.style.setProperty("--level", level.toFixed(3));
    box.classList.toggle("negative", value < 0);
  }

  // ---- who made a cell, and where it goes ----
  function tell() {
    story.textContent = "";
    if (!chosen) {
      element(story, "p", "", {}, "Point at a cell: what made it, and where does it go?");
      return;
    }
    const [array, cell] = chosen;
    const key = replay.key(array, cell);
    const value = replay.value(array, cell);
    mark(array, cell, "chosen");
    const made = replay.gather(key);
    const goes = replay.scatter(key);
    for (const other of made.cells) mark(...replay.cellOf(other), "source");
    for (const other of goes.cells) mark(...replay.cellOf(other), "goal");
    element(story, "p", "name", {}, `${replay.label(array, cell)} = ${value === undefined ? "not yet written" : format(value)}`);
    list(story, "Made of", made.steps, (k) => `${replay.line(k).right} = ${replay.line(k).result}`);
    list(story, "Goes to", goes.steps, (k) => `${replay.line(k).left} → ${replay.line(k).result}`);
  }

  function list(parent, title, steps, words) {
    if (!steps.length) return;
    const done = steps.filter((k) => k < replay.position).length;
    element(parent, "p", "", {}, `${title} ${steps.length} ${steps.length === 1 ? "step" : "steps"}, ${done} done:`);
    const items = element(parent, "ol", "");
    const first = Math.max(0, Math.min(done - 20, steps.length - 40));
    for (const k of steps.slice(first, first + 40)) {
      const item = element(items, "li", k < replay.position ? "done" : "", { value: steps.indexOf(k) + 1 });
      item.textContent = words(k);
    }
  }

  function choose(box) {
    chosen = box ? [Number(box.dataset.array), Number(box.dataset.cell)] : null;
    show();
  }

  // ---- building ----
  function makeSource(parent) {
    const rows = data.sources.map((source) => {
      const block = element(parent, "pre", "code", { tabindex: 0, "aria-label": `Source of ${source.name}` });
      return source.lines.map((text, k) => {
        const row = element(block, "span", "row");
        element(row, "span", "number", { "aria-hidden": "true" }, String(source.first + k));
        row.append(`${text}\n`);
        return row;
      });
    });
    let current = null;
    return {
      mark(source, line) {
        current?.classList.remove("current");
        current?.removeAttribute("aria-current");
        current = source === null ? null : rows[source][line - data.sources[source].first];
        if (!current) return;
        current.classList.add("current");
        current.setAttribute("aria-current", "step");
        const block = current.parentElement;
        const top = current.offsetTop - block.offsetTop;
        if (top < block.scrollTop || top + 24 > block.scrollTop + block.clientHeight) {
          block.scrollTop = top - block.clientHeight / 2;
        }
      },
    };
  }

  function makeArray(parent, array, number) {
    const figure = element(parent, "figure", "array");
    const axes = array.axes.map((name, k) => `${name} ${array.shape[k]}`).join(" × ");
    const title = element(figure, "figcaption", "", {}, array.name);
    element(title, "span", "shape", {}, axes || "a number");
    const tiles = element(figure, "div", "tiles");
    const boxes = [];
    const [rowAxis, columnAxis] = array.grid.length === 2 ? array.grid : [-1, array.grid[0] ?? -1];
    for (const [name, grid] of tilesOf(array, rowAxis, columnAxis)) {
      const tile = element(tiles, "div", "tile");
      if (name) element(tile, "p", "tile-name", {}, name);
      const label = [array.name, name].filter(Boolean).join(", ");
      const table = element(tile, "div", "grid", { role: "grid", "aria-label": label });
      const head = element(table, "div", "line", { role: "row" });
      element(head, "span", "axis", { role: "columnheader" },
        [rowAxis < 0 ? "" : `${array.axes[rowAxis]}↓`, columnAxis < 0 ? "" : `${array.axes[columnAxis]}→`].join(" "));
      grid[0].forEach((_, j) => element(head, "span", "axis", { role: "columnheader" }, String(j)));
      grid.forEach((row, i) => {
        const line = element(table, "div", "line", { role: "row" });
        element(line, "span", "axis", { role: "rowheader" }, rowAxis < 0 ? "" : String(i));
        row.forEach((cell, j) => {
          const box = element(line, "span", "cell", { role: "gridcell", tabindex: i || j ? -1 : 0 });
          box.dataset.array = number;
          box.dataset.cell = cell;
          boxes[cell] = box;
        });
      });
    }
    return boxes;
  }

  // ---- keys and the mouse ----
  arrays.addEventListener("pointerover", (event) => choose(event.target.closest(".cell")));
  arrays.addEventListener("pointerleave", () => choose(null));
  arrays.addEventListener("focusin", (event) => choose(event.target.closest(".cell")));
  arrays.addEventListener("focusout", () => choose(null));
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const inGrid = event.target.closest(".cell");
    const action = { s: () => move(1), b: () => move(-1), n: nextCell, Home: () => goTo(0), End: () => goTo(replay.count) }[event.key]
      ?? (inGrid && event.key.startsWith("Arrow") ? () => focusBeside(inGrid, event.key) : null)
      ?? { ArrowRight: () => move(1), ArrowLeft: () => move(-1) }[event.key]
      ?? (event.key === " " && event.target.tagName !== "BUTTON" ? () => play(!timer) : null);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key !== " ") play(false);
    action();
  });

  function focusBeside(box, key) {
    const line = box.parentElement;
    const column = [...line.children].indexOf(box);
    const other = { ArrowLeft: line.children[column - 1], ArrowRight: line.children[column + 1],
      ArrowUp: line.previousElementSibling?.children[column], ArrowDown: line.nextElementSibling?.children[column] }[key];
    if (!other?.classList.contains("cell")) return;
    box.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
  }

  cells.forEach((boxes, array) => boxes.forEach((_, cell) => paint(array, cell)));
  show();
}

// ---- small things ----

function element(parent, tag, name, attributes = {}, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text) made.textContent = text;
  return parent.appendChild(made);
}

function labelled(parent, text, tag) {
  const label = element(parent, "label", "", {}, `${text} `);
  return element(label, tag, "");
}

function format(value, digits = 4) {
  if (value === null) return "nan";
  if (Array.isArray(value)) return `(${value.map((each) => format(each, digits)).join(", ")})`;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === undefined || typeof value !== "number") return String(value ?? "");
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "−inf";
  const text = Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

// [name, rows of cell numbers] for every grid of an array
function tilesOf(array, rowAxis, columnAxis) {
  const strides = array.shape.map((_, k) => array.shape.slice(k + 1).reduce((a, b) => a * b, 1));
  const others = array.shape.map((_, k) => k).filter((k) => k !== rowAxis && k !== columnAxis);
  let tiles = [["", 0]];
  for (const axis of others) {
    tiles = tiles.flatMap(([name, offset]) => Array.from({ length: array.shape[axis] }, (_, k) =>
      [`${name}${name && ", "}${array.axes[axis]} ${k}`, offset + k * strides[axis]]));
  }
  const range = (axis) => Array.from({ length: axis < 0 ? 1 : array.shape[axis] }, (_, k) => (axis < 0 ? 0 : k * strides[axis]));
  return tiles.map(([name, offset]) =>
    [name, range(rowAxis).map((row) => range(columnAxis).map((column) => offset + row + column))])
    .filter(([, grid]) => grid.length && grid[0].length);
}

// ---- the replay: no elements of the page here ----

function makeReplay(data) {
  const templates = data.templates.map(([source, line, left, right, result, reads, numbers, writes]) =>
    ({ source, line, left, right, result, reads, numbers, writes }));
  const sizes = data.arrays.map((array) => array.shape.reduce((a, b) => a * b, 1));
  const starts = sizes.map((_, k) => sizes.slice(0, k).reduce((a, b) => a + b, 0));
  const locals = sizes.reduce((a, b) => a + b, 0);       // keys from here on are local numbers
  const values = new Array(locals + data.locals.length).fill(undefined);
  data.arrays.forEach((array, k) => array.initial?.forEach((value, cell) => { values[starts[k] + cell] = value; }));

  const keysOf = (place, cells) => {
    if (place < 0) return [locals - 1 - place];
    if (!Array.isArray(cells)) return [starts[place] + cells];
    const keys = [];
    for (let k = 0; k < cells.length; k += 2) {
      for (let cell = cells[k]; cell < cells[k + 1]; cell += 1) keys.push(starts[place] + cell);
    }
    return keys;
  };

  // every step once, forwards: keys and values read and written, and the values before
  const writers = new Map();
  const readers = new Map();
  const note = (map, key, k) => (map.has(key) ? map.get(key).push(k) : map.set(key, [k]));
  const largest = data.arrays.map((array) => array.initial ? largestOf(array.initial) : 0);
  const steps = data.steps.map(([number, cells, written, changes = [], tests = [], rounds = []], k) => {
    const template = templates[number];
    const set = [];                 // [key, before, after]
    for (let c = 0; c < changes.length; c += 2) set.push(change(locals + changes[c], changes[c + 1]));
    const reads = template.reads.map((array, r) => keysOf(array, cells[r]));
    const seen = reads.map((keys) => keys.map((key) => values[key]));
    const numbers = template.numbers.map((local) => locals + local);
    const numbersSeen = values.slice(locals);
    const writes = [];
    let next = 0;
    for (const place of template.writes) {
      const keys = keysOf(place, place < 0 ? 0 : written[next]);
      if (place >= 0) next += 1;
      const after = place >= 0 && Array.isArray(written[next]) && Array.isArray(written[next - 1])
        ? written[next].flat(Infinity) : [written[next]];
      next += 1;
      writes.push(keys.map((key, w) => change(key, after[w])));
      if (place >= 0) largest[place] = Math.max(largest[place], largestOf(after));
    }
    for (const key of [...reads.flat(), ...numbers]) note(readers, key, k);
    for (const [key] of writes.flat()) note(writers, key, k);
    return { template, set: [...set, ...writes.flat()], reads, seen, numbers, numbersSeen, writes, tests, rounds };
  });
  steps.slice().reverse().forEach((step) => undo(step));
  const finished = lastWrites();

  function change(key, after) {
    const before = values[key];
    values[key] = after;
    return [key, before, after];
  }

  function undo(step) {
    for (let c = step.set.length - 1; c >= 0; c -= 1) values[step.set[c][0]] = step.set[c][1];
  }

  function largestOf(list) {
    return list.reduce((most, value) => Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most, 0);
  }

  // steps that write a cell of an output for the last time
  function lastWrites() {
    const last = new Set();
    data.arrays.forEach((array, k) => {
      if (!array.output) return;
      for (let cell = 0; cell < sizes[k]; cell += 1) last.add(writers.get(starts[k] + cell)?.at(-1));
    });
    return last;
  }

  // the run of steps that made a cell's value, up to where it is set anew
  function chain(key, at) {
    const all = writers.get(key) ?? [];
    let last = all.findLastIndex((k) => k < at);
    if (last < 0) last = 0;
    const renews = (k) => ![...steps[k].reads.flat(), ...steps[k].numbers].includes(key);
    let first = last;
    while (first > 0 && !renews(all[first])) first -= 1;
    while (last + 1 < all.length && !renews(all[last + 1])) last += 1;
    return all.slice(first, last + 1);
  }

  const fill = (text, step, rounded) => text.replace(/(.?.?)⟨([a-z]?)(\d+)⟩/g, (_, before, kind, k) => {
    const exact = kind === "n" ? [step.numbersSeen[k]] : kind === "w" ? step.writes[k].map((each) => each[2])
      : kind === "b" ? step.writes[k].map((each) => each[1]) : step.seen[k];
    if (exact.length > 8) return `${before}${data.arrays[cellOf(kind ? step.writes[k][0][0] : step.reads[k][0])[0]].name}`;
    const shown = exact.map((value) => format(value));
    rounded.any ||= exact.some((value, v) => typeof value === "number" && Number.isFinite(value)
      && Number(shown[v].replace("−", "-")) !== value);
    const words = exact.length === 1 ? shown[0] : `[${shown.join(" ")}]`;
    return before + (/[-+·/%*] $/.test(before) && words.startsWith("−") ? `(${words})` : words);
  });

  function cellOf(key) {
    const array = starts.findLastIndex((first) => first <= key);
    return [array, key - starts[array]];
  }

  function label(array, cell) {
    const { name, shape } = data.arrays[array];
    const index = [];
    for (let k = shape.length - 1, rest = cell; k >= 0; k -= 1) {
      index.unshift(rest % shape[k]);
      rest = Math.floor(rest / shape[k]);
    }
    return `${name}[${index.join(",")}]`;
  }

  return {
    count: steps.length,
    position: 0,
    largest: largest.map((value) => value || 1),
    cellOf,
    label,
    key: (array, cell) => starts[array] + cell,
    value: (array, cell) => values[starts[array] + cell],
    template: (k) => steps[k].template,
    tests: (k) => steps[k].tests.map((test) => data.tests[test]),
    reads: (k) => steps[k].reads.flat().map(cellOf),
    writes: (k) => steps[k].writes.flat().filter(([key]) => key < locals).map(([key]) => cellOf(key)),

    // to a number of steps done; returns the cells whose values changed
    goTo(position) {
      const changed = new Set();
      const target = Math.max(0, Math.min(steps.length, position));
      const forward = target > this.position;
      while (this.position !== target) {
        const step = steps[forward ? this.position : this.position - 1];
        if (forward) for (const [key, , after] of step.set) values[key] = after;
        else undo(step);
        for (const [key] of step.set) if (key < locals) changed.add(key);
        this.position += forward ? 1 : -1;
      }
      return changed;
    },

    // where the next or previous line, finished output cell or round of a loop is
    seek(by, direction) {
      const stop = by === "line" ? () => true : by === "cell" ? (k) => finished.has(k)
        : (k) => steps[k].rounds.includes(Number(by.split(" ")[1]));
      let k = this.position + direction;
      while (k > 0 && k < steps.length && !stop(k - 1)) k += direction;
      return k;
    },

    line(k) {
      const { template } = steps[k];
      const rounded = { any: false };
      const left = template.left.replace(/⟨(w?)(\d+)⟩/g, (_, kind, place) =>
        label(...cellOf(kind ? steps[k].writes[place][0][0] : steps[k].reads[place][0])));
      const [right, result] = [template.right, template.result].map((text) => fill(text, steps[k], rounded));
      return { left, right, result, rounded: rounded.any };
    },

    // the local numbers of the function that the step stands in
    numbers() {
      if (!this.position) return [];
      const name = data.sources[steps[this.position - 1].template.source].name;
      return data.locals.map(([place, local], k) => [place, local, values[locals + k]])
        .filter(([place, , value]) => place === name && value !== undefined)
        .map(([, local, value]) => [local, value]);
    },

    // the steps that made a cell, and the cells that went into it, through local numbers too
    gather(key) {
      const from = new Set();
      const seen = new Set();
      const visit = (each, at) => {
        for (const k of chain(each, at)) {
          if (seen.has(k)) continue;
          seen.add(k);
          for (const read of steps[k].reads.flat()) if (read !== each) from.add(read);
          for (const number of steps[k].numbers) if (number !== each && (number >= locals)) visit(number, k);
        }
      };
      visit(key, this.position);
      return { cells: from, steps: chain(key, this.position) };
    },

    // the steps that read a cell, and the cells that they write, through local numbers too
    scatter(key) {
      const to = new Set();
      const seen = new Set();
      const visit = (each, after) => {
        const end = each < locals ? Infinity : chain(each, after + 1).at(-1) ?? Infinity;
        const stop = each < locals ? Infinity : (writers.get(each) ?? []).find((k) => k > end) ?? Infinity;
        for (const k of readers.get(each) ?? []) {
          if (k <= after || k > stop || seen.has(k)) continue;
          seen.add(k);
          for (const [written] of steps[k].writes.flat()) {
            if (written === each) continue;
            if (written < locals) to.add(written);
            else visit(written, k);
          }
        }
      };
      visit(key, -1);
      return { cells: to, steps: (readers.get(key) ?? []).filter((k) => steps[k].writes.flat().some(([w]) => w !== key)) };
    },
  };
}
