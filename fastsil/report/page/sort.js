// A click on a title sorts its table, largest first; the next click turns the order round.
const NUMBER = /^[+-]?[\d,.]+(e[+-]?\d+)?( ± .*)?$/;
for (const table of document.querySelectorAll("table.numbers")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const text = row => row.cells[column].textContent;
    const number = row => parseFloat(text(row).replaceAll(",", ""));
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "Sort by this column";
    head.append(button);
    button.onclick = () => {
      const turn = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      const known = [], missing = [];
      for (const row of body.rows) (text(row) === "-" ? missing : known).push(row);
      const numeric = known.every(row => NUMBER.test(text(row)));
      known.sort((one, other) => turn * (numeric ? number(one) - number(other) : text(one).localeCompare(text(other))));
      body.append(...known, ...missing);
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    };
  });
}
