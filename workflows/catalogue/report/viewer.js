// The chosen phase: its facts, and its crystal as shaded circles and lines, far ones first.
(() => {
  const canvas = document.getElementById("canvas");
  if (!canvas) return;
  const { crystals, elements } = JSON.parse(document.getElementById("drawings").textContent);
  const pen = canvas.getContext("2d");
  const RADIUS = 0.42; // of a sphere, as a part of the covalent radius
  let crystal = null, size = 1, turn = null;

  const about = (axis, angle) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return axis === "x" ? [[1, 0, 0], [0, c, -s], [0, s, c]] : [[c, 0, s], [0, 1, 0], [-s, 0, c]];
  };
  const times = (a, b) => a.map((row) => [0, 1, 2].map((j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
  const apply = (m, p) => m.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
  const plus = (a, b) => a.map((x, i) => x + b[i]);

  const corners = () => [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
    crystal.cell.reduce((sum, edge, i) => ((bits >> i) & 1 ? plus(sum, edge) : sum), crystal.origin));

  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const vertices = corners();
    const reach = Math.max(...[...vertices, ...crystal.positions].map((p) => Math.hypot(...p))) + 0.8;
    const scale = size * Math.min(width, height) / 2 / reach;
    const place = (p) => {
      const [x, y, z] = apply(turn, p);
      return { x: width / 2 + scale * x, y: height / 2 - scale * y, z };
    };
    const line = (a, b, colour, thick) => {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
    };
    const ends = vertices.map(place);
    const items = [];
    for (let a = 0; a < 8; a++)
      for (const bit of [1, 2, 4])
        if (!(a & bit)) items.push({ z: (ends[a].z + ends[a | bit].z) / 2, paint: () => line(ends[a], ends[a | bit], "#9aa6b2", 1) });
    const atoms = crystal.positions.map(place);
    for (const [a, b] of crystal.bonds)
      items.push({ z: (atoms[a].z + atoms[b].z) / 2, paint: () => line(atoms[a], atoms[b], "#b4bdc7", Math.max(2, 0.14 * scale)) });
    atoms.forEach((atom, i) => {
      const [colour, radius] = elements[crystal.elements[i]];
      const r = RADIUS * radius * scale;
      items.push({ z: atom.z, paint: () => {
        const shade = pen.createRadialGradient(atom.x - r / 3, atom.y - r / 3, r / 10, atom.x, atom.y, r);
        shade.addColorStop(0, "#fff");
        shade.addColorStop(0.35, colour);
        shade.addColorStop(1, "#333");
        pen.fillStyle = shade;
        pen.beginPath();
        pen.arc(atom.x, atom.y, r, 0, 2 * Math.PI);
        pen.fill();
      } });
    });
    items.sort((a, b) => a.z - b.z).forEach((item) => item.paint());
  };

  const legend = () => {
    const place = document.getElementById("legend");
    place.replaceChildren();
    for (const symbol of new Set(crystal.elements)) {
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = elements[symbol][0];
      place.append(swatch, symbol);
    }
  };

  const show = (entry) => {
    crystal = crystals[entry];
    [size, turn] = [1, times(about("x", 0.35), about("y", -0.5))];
    let formula = "";
    for (const article of document.querySelectorAll("#facts article")) {
      article.hidden = article.dataset.entry !== entry;
      if (!article.hidden) formula = article.querySelector("h3").textContent.trim();
    }
    for (const row of document.querySelectorAll("#phases tbody tr")) row.classList.toggle("chosen", row.dataset.entry === entry);
    canvas.setAttribute("aria-label", `Crystal structure of ${formula}; drag or use the arrow keys to turn it`);
    legend();
    draw();
  };

  const rotate = (dx, dy) => {
    turn = times(times(about("x", dy), about("y", dx)), turn);
    draw();
  };
  const zoom = (factor) => {
    size = Math.min(5, Math.max(0.3, size * factor));
    draw();
  };
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = event;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    rotate((event.clientX - last.clientX) / 120, (event.clientY - last.clientY) / 120);
    last = event;
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 500));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (step) rotate(...step);
    else if (event.key === "+") zoom(1.15);
    else if (event.key === "-") zoom(1 / 1.15);
    else return;
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("#phases button.show"))
    button.addEventListener("click", () => {
      show(button.closest("tr").dataset.entry);
      document.getElementById("crystal").scrollIntoView({ block: "nearest" });
    });
  window.addEventListener("resize", draw);
  show(document.querySelector("#phases tbody tr").dataset.entry);
})();
