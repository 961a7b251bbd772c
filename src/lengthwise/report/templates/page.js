const dark = window.matchMedia("(prefers-color-scheme: dark)");
const charts = [...document.querySelectorAll(".chart")];

async function draw(chart) {
  const config = themes[dark.matches ? "dark" : "light"];
  const specification = panels[chart.dataset.figure][chart.dataset.panel];
  chart.drawn?.finalize();
  chart.drawn = await vegaEmbed(chart, specification, { actions: false, renderer: "svg", config });
}

const drawAll = () => Promise.all(charts.map(draw));
dark.addEventListener("change", drawAll);
drawAll();
