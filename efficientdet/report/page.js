// The page is complete without this: it sorts tables, shows one contender at a time, finds a class, enlarges pictures.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.dataset.sort = "";
    head.tabIndex = 0;
    const sort = () => {
      const rising = head.getAttribute("aria-sort") === "descending" || (!head.ariaSort && !head.classList.contains("n"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const key = (row) => row.cells[column].textContent;
      const compare = (a, b) => {
        if (!head.classList.contains("n")) return key(a).localeCompare(key(b)) * (rising ? 1 : -1);
        const [x, y] = [parseFloat(key(a)), parseFloat(key(b))];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // what has no number is always last
        return rising ? x - y : y - x;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
}

const groups = [...document.querySelectorAll(".panels")];
const show = (name) => {
  for (const group of groups) {
    for (const panel of group.querySelectorAll(".panel")) panel.hidden = panel.dataset.contender !== name;
    for (const tab of group.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", tab.textContent === name);
  }
};
for (const group of groups) {
  const tabs = document.createElement("div");
  tabs.className = "tabs";
  tabs.setAttribute("role", "tablist");
  for (const panel of group.querySelectorAll(".panel")) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.textContent = panel.dataset.contender;
    tab.addEventListener("click", () => {
      const before = group.getBoundingClientRect().top;
      show(panel.dataset.contender);
      scrollBy({ top: group.getBoundingClientRect().top - before, behavior: "instant" }); // stay where one is reading
    });
    tabs.append(tab);
    panel.querySelector(".who").hidden = true;
  }
  group.prepend(tabs);
}
if (groups.length) show(groups[0].querySelector(".panel").dataset.contender);

for (const list of document.querySelectorAll(".findable")) {
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Find a class";
  search.setAttribute("aria-label", "Find a class");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const item of list.querySelectorAll("details")) item.hidden = !item.dataset.name.toLowerCase().includes(wanted);
  });
  list.prepend(search);
}

for (const figure of document.querySelectorAll(".pictures figure")) {
  figure.querySelector("svg").addEventListener("click", () => {
    figure.classList.toggle("large");
    figure.scrollIntoView({ block: "nearest" });
  });
}
