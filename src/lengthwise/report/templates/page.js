const dark = window.matchMedia("(prefers-color-scheme: dark)");
const charts = [...document.querySelectorAll(".chart")];
const picked = {};

const unpack = (groups) => groups.flatMap(({ words, names, rows }) =>
  rows.map((row) => Object.assign({}, words, Object.fromEntries(row.map((value, index) => [names[index], value])))));

async function draw(chart) {
  const config = themes[dark.matches ? "dark" : "light"];
  const packed = panels[chart.dataset.figure][chart.dataset.panel];
  const datasets = Object.fromEntries(Object.entries(packed.datasets).map(([name, groups]) => [name, unpack(groups)]));
  chart.drawn?.finalize();
  chart.drawn = await vegaEmbed(chart, { ...packed, datasets }, { actions: false, renderer: "svg", config });
  show(chart);
}

function show(chart) {
  const kind = picked[chart.dataset.figure];
  if (kind !== undefined) chart.drawn?.view.signal("picked", kind).run();
}

// Drawn when they come near: a page may have a hundred.
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      near.unobserve(target);
      draw(target);
    }
  }
}, { rootMargin: "800px" });
charts.forEach((chart) => near.observe(chart));
dark.addEventListener("change", () => charts.filter((chart) => chart.drawn).forEach(draw));

// What is printed is all of it, and what is linked to is open.
function unfold(inside) {
  for (const fold of document.querySelectorAll("details.fold")) if (inside(fold)) fold.open = true;
}
const linked = () => unfold((fold) => fold.contains(document.getElementById(location.hash.slice(1))));
window.addEventListener("hashchange", linked);
linked();
window.addEventListener("beforeprint", () => {
  unfold(() => true);
  charts.filter((chart) => !chart.drawn).forEach(draw);
});

// A table that goes on beyond its right edge says so, until it is scrolled there.
for (const scroll of document.querySelectorAll(".scroll")) {
  const look = () => {
    const left = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft;
    scroll.parentElement.classList.toggle("more", left > 2);
  };
  scroll.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(scroll);
}

for (const button of document.querySelectorAll(".legend button")) {
  const { figure, kind } = button.dataset;
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") === "true";
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(!pressed));
    picked[figure] = pressed ? "" : kind;
    charts.filter((chart) => chart.dataset.figure === figure).forEach(show);
  });
}
