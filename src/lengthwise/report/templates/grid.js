const box = document.getElementById("details");

function tell(cell, entries) {
  const [[, title], ...rest] = entries;
  const list = document.createElement("dl");
  for (const [term, said] of rest) {
    list.append(Object.assign(document.createElement("dt"), { textContent: term }));
    list.append(Object.assign(document.createElement("dd"), { textContent: said }));
  }
  box.replaceChildren(Object.assign(document.createElement("strong"), { textContent: title }), list);
  box.hidden = false;
  const place = cell.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 8);
  const below = place.bottom + 6;
  const fits = below + box.offsetHeight <= window.innerHeight;
  const above = place.top - box.offsetHeight - 6;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${fits || above < 8 ? Math.min(below, Math.max(8, window.innerHeight - box.offsetHeight - 8)) : above}px`;
  cell.setAttribute("aria-describedby", "details");
}

function hide() {
  box.hidden = true;
  document.querySelectorAll("[aria-describedby=details]").forEach((cell) => cell.removeAttribute("aria-describedby"));
}

for (const grid of document.querySelectorAll("[data-grid]")) {
  const cells = [...grid.querySelectorAll("[data-cell]")];
  const places = [...grid.tBodies[0].rows].map((row) => [...row.cells].slice(1));
  cells[0].tabIndex = 0;
  const move = (cell) => {
    grid.querySelector("[data-cell][tabindex='0']").tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  };
  const step = (cell, down, right) => {
    const row = places.findIndex((line) => line.includes(cell));
    const column = places[row].indexOf(cell);
    let [y, x] = [row + down, column + right];
    while (places[y]?.[x] && !("cell" in places[y][x].dataset)) [y, x] = [y + down, x + right];
    return places[y]?.[x] ?? cell;
  };
  const keys = {
    ArrowUp: (cell) => step(cell, -1, 0), ArrowDown: (cell) => step(cell, 1, 0),
    ArrowLeft: (cell) => step(cell, 0, -1), ArrowRight: (cell) => step(cell, 0, 1),
    Home: () => cells[0], End: () => cells.at(-1),
  };
  cells.forEach((cell, index) => {
    const entries = details[grid.dataset.grid][index];
    cell.addEventListener("focus", () => tell(cell, entries));
    cell.addEventListener("mouseenter", () => tell(cell, entries));
    cell.addEventListener("click", () => move(cell));
    cell.addEventListener("blur", hide);
    cell.addEventListener("mouseleave", hide);
    cell.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      if (!(event.key in keys)) return;
      event.preventDefault();
      move(keys[event.key](cell));
    });
  });
}
