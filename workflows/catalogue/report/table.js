// Sorting and filtering of the table of phases.
(() => {
  const table = document.getElementById("phases");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column, kind) => {
    const cell = row.cells[column];
    return kind === "number" ? Number(cell.dataset.value) : cell.textContent.trim().toLowerCase();
  };

  const sort = (column) => {
    const head = heads[column];
    const kind = head.firstElementChild.dataset.kind;
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = [...rows].sort((a, b) => {
      const [x, y] = [value(a, column, kind), value(b, column, kind)];
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
    body.append(...order);
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(column)));

  const words = document.getElementById("filter");
  const onlyNew = document.getElementById("only-new");
  const noDoubts = document.getElementById("no-doubts");
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = wanted.every((word) => text.includes(word));
      row.hidden = !fits || (onlyNew.checked && !("new" in row.dataset)) || (noDoubts.checked && "doubts" in row.dataset);
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
  };
  words.addEventListener("input", filter);
  onlyNew.addEventListener("change", filter);
  noDoubts.addEventListener("change", filter);
  filter();
})();
