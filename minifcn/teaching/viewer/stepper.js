// The stepper: replays the steps of a trace on its arrays, and shows what each reads and writes.
// Keys number the cells of all arrays, then the local numbers. What data holds is written by
// minifcn/teaching/stepper.py.

function start(root, data) {
  const replay = makeReplay(data);
  root.insertAdjacentHTML("beforeend", data.html);
  const view = root.querySelector(".stepper");
  const part = (name) => view.querySelector(`.${name}`);
  const [where, formula, caption, unit, slider, numbers, story, arrays] =
    ["where", "formula", "caption", "unit", "slider", "numbers", "story", "arrays"].map(part);
  const sources = [...view.querySelectorAll(".code")];
  const boxes = []; // the elements of cells, by key
  for (const box of view.querySelectorAll(".cell")) boxes[box.dataset.key] = box;
  let timer = 0, row = null, chosen = null; // the current line; the key of the cell that is asked about

  // ---- moving ----

  function goTo(position) {
    for (const key of replay.goTo(position)) paint(key);
    if (position === replay.count) play(false);
    showStep();
    showCell();
  }

  function move(direction, by = unit.value) {
    goTo(replay.seek(by, direction));
  }

  function play(on) {
    clearInterval(timer);
    timer = 0;
    if (on) {
      if (replay.position === replay.count) goTo(0);
      timer = setInterval(() => (view.isConnected ? move(1) : play(false)), Number(part("speed").value));
    }
    part("play").textContent = on ? "Pause" : "Play";
    caption.setAttribute("aria-live", on ? "off" : "polite"); // nobody can listen that fast
  }

  // ---- showing ----

  function paint(key) {
    const value = replay.values[key];
    boxes[key].textContent = value === undefined ? "" : format(value, 3);
    const level = Number.isFinite(value) ? Math.abs(value) / replay.arrayOf(key).largest : 0;
    boxes[key].style.setProperty("--level", level.toFixed(3));
    boxes[key].classList.toggle("negative", value < 0);
    boxes[key].classList.toggle("long", boxes[key].textContent.length > 5);
    boxes[key].classList.toggle("longer", boxes[key].textContent.length > 7);
  }

  function mark(name, keys) {
    for (const box of [...arrays.getElementsByClassName(name)]) box.classList.remove(name);
    for (const key of keys) boxes[key].classList.add(name);
  }

  function showStep() {
    const k = replay.position - 1, step = replay.steps[k], last = k + 1 === replay.count;
    for (const name of ["start", "back"]) part(name).ariaDisabled = !step; // they keep the focus
    for (const name of ["step", "next", "end"]) part(name).ariaDisabled = last;
    slider.value = k + 1;
    mark("read", step ? step.reads.flat().filter(replay.isCell) : []);
    mark("written", step ? step.writes.map(([key]) => key).filter(replay.isCell) : []);
    where.textContent = `${replay.count} steps`;
    formula.textContent = step ? "" : `${data.name}: press Step`;
    showLine(step);
    if (step) {
      const { left, right, result } = replay.words(k);
      where.textContent = [`Step ${k + 1} of ${replay.count}`, data.sources[step.source],
        `line ${step.line}`, ...step.tests.map((test) => data.tests[test])].join(" · ");
      element(formula, "span", "left", {}, left);
      element(formula, "span", "right", {}, ` → ${right}`);
      element(formula, "strong", "result", {}, result);
    }
    if (data.error && last) element(formula, "span", "error", {}, ` Then line ${data.error.line} raised ${data.error.text}`);
    numbers.textContent = "";
    for (const [name, value] of replay.numbers()) {
      element(numbers, "span", "", {}, `${name}\u00a0`);
      numbers.append(`${format(value)}  `);
    }
    caption.textContent = `${where.textContent}: ${formula.textContent}`;
    slider.setAttribute("aria-valuetext", where.textContent);
  }

  function showLine(step) {
    const block = sources[step ? step.source : 0];
    for (const source of sources) source.hidden = source !== block;
    row?.removeAttribute("aria-current");
    row = step && block.children[step.line - block.dataset.first];
    row?.setAttribute("aria-current", "step");
    const top = row ? row.offsetTop : 0;
    if (top < block.scrollTop || top + 40 > block.scrollTop + block.clientHeight) block.scrollTop = top - block.clientHeight / 2;
  }

  // what made the chosen cell, and where it goes
  function showCell() {
    const nothing = { cells: [], steps: [] };
    const key = chosen ?? replay.steps[replay.position - 1]?.writes.map(([written]) => written).find(replay.isCell);
    const made = key === undefined ? nothing : replay.gather(key);
    const goes = chosen === null ? nothing : replay.scatter(key);
    mark("chosen", chosen === null ? [] : [chosen]);
    mark("source", chosen === null ? [] : made.cells);
    mark("goal", goes.cells);
    const value = replay.values[key];
    story.textContent = "";
    element(story, "p", "name", {}, key === undefined ? "Point at a cell: what made it, and where does it go?"
      : `${replay.label(key)} = ${value === undefined ? "not yet written" : format(value, 17)}`);
    list("Made in", made.steps, ({ right, result }, { writes, line }) => {
      const mine = writes.length > 8 && writes.find(([written]) => written === key);
      return mine ? `${format(mine[2])} (line ${line}, with others)` : `${right}${result}`;
    });
    list("Goes into", goes.steps, ({ left, result }) => `${left} → ${result}`);
  }

  function list(title, steps, words) {
    if (!steps.length) return;
    const done = steps.filter((k) => k < replay.position).length;
    element(story, "p", "", {}, `${title} ${steps.length} step${steps.length > 1 ? "s" : ""}, ${done} done`);
    const items = element(story, "ol", "");
    const first = Math.max(0, Math.min(done - 20, steps.length - 40)); // forty are enough to read
    steps.slice(first, first + 40).forEach((k, place) => {
      element(items, "li", k < replay.position ? "done" : "", { value: first + place + 1 }, words(replay.words(k), replay.steps[k]));
    });
  }

  // ---- mouse and keys ----

  const actions = {
    start: () => goTo(0), back: () => move(-1), step: () => move(1), play: () => play(!timer),
    next: () => move(1, "cell"), end: () => goTo(replay.count),
  };
  for (const name in actions) part(name).addEventListener("click", actions[name]);
  slider.addEventListener("input", () => goTo(Number(slider.value)));

  const cellAt = (target) => target?.closest(".arrays .cell"); // a notebook has cells of its own

  function choose(target) {
    const box = cellAt(target);
    chosen = box ? Number(box.dataset.key) : null;
    showCell();
  }
  for (const name of ["pointerover", "focusin"]) arrays.addEventListener(name, (event) => choose(event.target));
  for (const name of ["pointerleave", "focusout"]) arrays.addEventListener(name, () => choose(null));

  const keys = {
    Home: "start", b: "back", ArrowLeft: "back", s: "step", ArrowRight: "step", " ": "play", n: "next", End: "end",
  };
  const alone = document.body.children.length === 1 && document.body; // a page of our own: keys work everywhere
  (alone || view).addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select") || (key === " " && target.matches("button"))) return;
    const box = cellAt(target);
    if (box && key.startsWith("Arrow")) focusBeside(box, key);
    else if (key in keys) actions[keys[key]]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function focusBeside(box, key) {
    const line = box.parentElement, column = [...line.children].indexOf(box);
    const other = {
      ArrowLeft: line.children[column - 1], ArrowRight: line.children[column + 1],
      ArrowUp: line.previousElementSibling?.children[column], ArrowDown: line.nextElementSibling?.children[column],
    }[key];
    if (!other?.matches(".cell")) return;
    box.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
  }

  Object.keys(boxes).forEach(paint);
  goTo(0);
  if (alone) view.focus({ preventScroll: true });
}

// ---- small things ----

function element(parent, tag, name, attributes = {}, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  made.textContent = text;
  return parent.appendChild(made);
}

function format(value, digits = 4) {
  if (value === null) return "nan";
  if (Array.isArray(value)) return `(${value.map((each) => format(each, digits)).join(", ")})`;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "number") return String(value ?? "");
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "−inf";
  const whole = Number.isInteger(value) && Math.abs(value) < 1e6;
  return String(whole ? value : Number(value.toPrecision(digits))).replaceAll("-", "−");
}

// ---- the replay: no elements of the page here ----

function makeReplay(data) {
  const values = data.arrays.flatMap((array) => array.initial ?? new Array(array.cells).fill(undefined));
  const cells = values.length;
  const isCell = (key) => key < cells;
  const arrayOf = (key) => data.arrays.findLast((array) => array.start <= key);
  const writers = new Map(); // key -> the steps that write it
  const readers = new Map();
  const finished = new Set(data.finished);
  const steps = data.steps.map(runOnce);
  for (const step of [...steps].reverse()) undo(step);

  function change(changes, keys, after) {
    for (const [c, key] of expand(keys).entries()) {
      const value = Array.isArray(keys) ? after[c] : after;
      changes.push([key, values[key], value]);
      values[key] = value;
    }
  }

  function expand(keys) { // one, or the borders of runs: 3, 6, 9, 10 is 3, 4, 5, 9
    if (!Array.isArray(keys)) return [keys];
    const all = [];
    for (let k = 0; k < keys.length; k += 2) {
      for (let key = keys[k]; key < keys[k + 1]; key += 1) all.push(key);
    }
    return all;
  }

  function runOnce([number, read, written, loops = [], tests = [], rounds = []], k) {
    const [source, line, ...texts] = data.templates[number];
    const before = []; // changes that loops made since the last step: [key, value before, after]
    const writes = [];
    for (let c = 0; c < loops.length; c += 2) change(before, loops[c], loops[c + 1]);
    const reads = read.map(expand);
    const seen = reads.map((keys) => keys.map((key) => values[key]));
    for (let c = 0; c < written.length; c += 2) change(writes, written[c], written[c + 1]);
    for (const key of new Set(reads.flat())) note(readers, key, k);
    for (const [key] of writes) note(writers, key, k);
    return { source, line, texts, reads, seen, writes, changes: [...before, ...writes], tests, rounds };
  }

  function note(map, key, k) {
    if (!map.has(key)) map.set(key, []);
    map.get(key).push(k);
  }

  function undo({ changes }) {
    for (const [key, before] of [...changes].reverse()) values[key] = before;
  }

  // the steps that made what a key holds at a time, from where it was set anew
  function chain(key, time) {
    const all = writers.get(key) ?? [];
    const goesOn = (k) => steps[k].reads.flat().includes(key);
    let last = Math.max(0, all.findLastIndex((k) => k < time));
    let first = last;
    while (first > 0 && goesOn(all[first])) first -= 1;
    while (last + 1 < all.length && goesOn(all[last + 1])) last += 1;
    return all.slice(first, last + 1);
  }

  function label(key) {
    const { name, start: first, strides, shape } = arrayOf(key);
    return `${name}[${strides.map((stride, k) => Math.floor((key - first) / stride) % shape[k]).join(",")}]`;
  }

  // a template with its numbers: ⟨2⟩ is the third read, ⟨w⟩ what is written, ⟨b⟩ what was there before
  function fill(text, { reads, seen, writes }, rounded) {
    return text.replace(/⟨(w?b?)(\d*):?(\d*)⟩/g, (place, kind, k, end, at) => {
      const changes = kind ? writes.slice(k, end) : [];
      const list = kind ? changes.map((each) => each[kind === "w" ? 2 : 1]) : seen[k];
      if (list.length > 8) return arrayOf(kind ? changes[0][0] : reads[k][0]).name;
      const words = list.map((value) => format(value));
      rounded.push(...words.filter((each, w) => Number.isFinite(list[w]) && Number(each.replaceAll("−", "-")) !== list[w]));
      if (words.length > 1) return `[${words.join(" ")}]`;
      const bare = !/[-+·/%*@] $/.test(text.slice(0, at)) && !text.slice(at + place.length).startsWith(" **");
      return bare || !words[0].startsWith("−") ? words[0] : `(${words[0]})`;
    });
  }

  return {
    count: steps.length, position: 0, steps, values, isCell, arrayOf, label,

    goTo(position) { // returns the cells that changed
      const changed = new Set();
      while (this.position !== position) {
        const forward = this.position < position;
        const step = steps[forward ? this.position : this.position - 1];
        if (forward) for (const [key, , after] of step.changes) values[key] = after;
        else undo(step);
        for (const [key] of step.changes) if (isCell(key)) changed.add(key);
        this.position += forward ? 1 : -1;
      }
      return changed;
    },

    seek(unit, direction) { // the next place at a line, a finished cell, or a new round of a loop
      const stops = { line: () => true, cell: (k) => finished.has(k) }[unit] ?? ((k) => steps[k].rounds.includes(Number(unit)));
      let position = this.position + direction;
      while (position > 0 && position < steps.length && !stops(position - 1)) position += direction;
      return Math.max(0, Math.min(steps.length, position));
    },

    words(k) { // of a line; right is empty where the result says nothing new: 2 = 2, y = np.zeros(3) = y
      const [step, rounded] = [steps[k], []];
      const left = step.texts[0].replace(/⟨(w?)(\d+):?\d*⟩/g, (_, kind, n) => label(kind ? step.writes[n][0] : step.reads[n][0]));
      const [right, result] = step.texts.slice(1).map((text) => fill(text, step, rounded));
      if (right === result || left.startsWith(`${result.replace(/[()]/g, "")} `)) return { left, right: "", result: right };
      return { left, right: `${right} ${rounded.length ? "≈" : "="} `, result };
    },

    numbers() { // of the function that the current step stands in
      const step = steps[this.position - 1];
      return data.locals.map(([place, name], k) => [name, values[cells + k], place])
        .filter(([, value, place]) => step && place === data.sources[step.source] && value !== undefined);
    },

    gather(key) { // what made a cell: steps, and cells, through local numbers too
      const found = new Set();
      const sources = new Set();
      const visit = (each, time) => {
        for (const k of chain(each, time).filter((step) => !found.has(step))) {
          found.add(k);
          for (const read of steps[k].reads.flat().filter((read) => read !== each)) {
            if (isCell(read)) sources.add(read);
            else visit(read, k);
          }
        }
      };
      visit(key, this.position);
      return { cells: sources, steps: [...found].sort((a, b) => a - b) };
    },

    scatter(key) { // the steps that read a cell, and the cells that it reaches, through local numbers too
      const goals = new Set();
      const found = new Set();
      const visit = (each, since, until) => {
        for (const k of (readers.get(each) ?? []).filter((step) => step > since && step <= until && !found.has(step))) {
          found.add(k);
          for (const [other] of steps[k].writes.filter(([written]) => written !== each)) {
            if (isCell(other)) goals.add(other);
            else visit(other, k, writers.get(other).find((later) => later > chain(other, k + 1).at(-1)) ?? Infinity);
          }
        }
      };
      visit(key, -1, Infinity);
      return { cells: goals, steps: (readers.get(key) ?? []).filter((k) => steps[k].writes.some(([other]) => other !== key)) };
    },
  };
}
