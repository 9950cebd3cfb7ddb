// Sorts and filters the table of layers. Without it the page is complete, in the file's order.
"use strict";
(() => {
  const table = document.getElementById("layers-table");
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const headings = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies].map((body) => ({ body, rows: [...body.rows] }));
  const layers = bodies.flatMap(({ rows }) => rows.filter((row) => !row.classList.contains("block")));
  const words = new Map(layers.map((row) => [row, row.textContent.toLowerCase()]));
  const numeric = headings.map((heading) => heading.classList.contains("number"));
  if (!layers.length) {
    return;
  }
  document.querySelector(".controls").hidden = false;

  const mark = (column, direction) => {
    headings.forEach((heading, number) => {
      heading.setAttribute("aria-sort", number === column ? direction : "none");
    });
  };

  const restore = () => {
    table.classList.remove("flat");
    for (const { body, rows } of bodies) {
      body.append(...rows);
    }
    mark(-1, "none");
    show();
  };

  // Blocks vanish when sorted: their layers are then apart, and have their whole names.
  const sort = (column, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[column];
      return numeric[column] ? Number(cell.dataset.value) : cell.textContent.trim();
    };
    const keys = new Map(layers.map((row) => [row, key(row)]));
    const compare = numeric[column]
      ? (a, b) => keys.get(a) - keys.get(b)
      : (a, b) => keys.get(a).localeCompare(keys.get(b), "en", { numeric: true });
    const sorted = [...layers].sort((a, b) => sign * compare(a, b));
    table.classList.add("flat");
    bodies[0].body.append(...sorted);
    mark(column, direction);
    show();
  };

  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of layers) {
      row.hidden = !words.get(row).includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    for (const { rows } of bodies) {
      if (rows[0].classList.contains("block")) {
        rows[0].hidden = rows.slice(1).every((row) => row.hidden);
      }
    }
    count.textContent = wanted ? `${shown} of ${layers.length} layers` : `${layers.length} layers`;
  };

  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const [first, second] = numeric[column] ? ["descending", "ascending"] : ["ascending", "descending"];
      if (now === second) {
        restore();
      } else {
        sort(column, now === first ? second : first);
      }
    });
  });
  document.getElementById("reset").addEventListener("click", () => {
    filter.value = "";
    restore();
  });
  filter.addEventListener("input", show);
})();
