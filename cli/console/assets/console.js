// Runs in the browser: the key of each request, ages of times, links and runs in the grid, search and filter.

// The printed address has the key in its fragment. It moves to the storage of this origin, and leaves the address.
const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given) {
  localStorage.setItem("key", given);
  history.replaceState(null, "", location.pathname + location.search);
}
window.addEventListener("hashchange", () => location.reload());

const fetched = window.fetch;
window.fetch = async (resource, options = {}) => {
  if (new URL(resource, location.href).origin !== location.origin) return fetched(resource, options);
  const headers = new Headers(options.headers);
  headers.set("X-Fanout-Key", localStorage.getItem("key") || "");
  const answer = await fetched(resource, { ...options, headers });
  if (answer.status === 403) document.body.textContent = await answer.clone().text();
  return answer;
};

var dagfuncs = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
var dagcomponents = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

dagfuncs.when = function (milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  const apart = Math.trunc((Date.now() - milliseconds) / 1000), s = Math.abs(apart);
  const units = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "m"], [s % 60, "s"]];
  const age = (units.find(([count]) => count) || [0, "s"]).join("");
  const at = new Date(milliseconds).toISOString(), day = at.slice(0, 10);
  const today = new Date().toISOString().startsWith(day);
  return `${apart < 0 ? "in " + age : age + " ago"}, ${today ? "" : day + " "}${at.slice(11, 16)}Z`;
};

dagfuncs.money = function (amount) {
  if (amount === null || amount === undefined) return "";
  const digits = amount ? Math.max(2, 1 - Math.floor(Math.log10(Math.abs(amount)))) : 2;
  return "$" + amount.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
};
dagfuncs.openOnEnter = ({ event }) => event.key === "Enter" && [...event.target.querySelectorAll("a")].at(-1)?.click();
dagfuncs.worstFirst = (a, b, one, other) => one.data.order - other.data.order;

const link = (href, shown, title) => React.createElement(window.dash_core_components.Link, { href, title }, shown);
const runPath = (run, provider) => `/run/${encodeURIComponent(run)}?provider=${encodeURIComponent(provider)}`;
dagcomponents.ProviderLink = ({ data, value }) => (data.href ? link(data.href, value) : value);

// The last runs are requested only for the rows on the screen, and for all of them together.
const shapes = { succeeded: "M2 2h10v10h-10z", failed: "M2 2l10 10M12 2l-10 10", running: "M7 2a5 5 0 1 0 .1 0z" };
const wanted = new Map(), known = {};
dagfuncs.runsVersion = ({ data }) => [data.status, data.run, data.success, data.failures].join();  // changes with each run
async function readRuns() {
  const asked = [...wanted];
  wanted.clear();
  const answer = await fetch("/last-runs?" + new URLSearchParams(asked.map(([id]) => ["of", id])));
  const found = await answer.json();
  for (const [id, show] of asked) if (found[id]) show(found[id]);
}
dagcomponents.LastRuns = ({ data: { id, href }, value }) => {
  const [runs, setRuns] = React.useState(known[id]?.runs || []);
  React.useEffect(() => {
    if (!href || known[id]?.value === value) return;
    if (!wanted.size) setTimeout(readRuns, 150);
    wanted.set(id, (runs) => setRuns((known[id] = { value, runs }).runs));
    return () => wanted.delete(id);
  }, [value]);
  const cells = runs.map(({ run, state, at }) => {
    const label = `${state}, ${new Date(at).toISOString().slice(0, 16).replace("T", " ")}Z`;
    const shape = React.createElement("path", { d: shapes[state] || "M2 7h10" });
    const icon = React.createElement("svg", { className: `is-${state}`, role: "img", "aria-label": label }, shape);
    return React.createElement(React.Fragment, { key: run }, link(runPath(run, id), icon, label));
  });
  return React.createElement("div", { className: "runs" }, cells);
};
dagcomponents.Condition = ({ value }) => React.createElement("span", { className: `badge is-${value}` }, value);

window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.console = {
  // In the browser, because the request of a new button without a click would discard the answer to a click.
  choose: async function () {
    const { triggered_id: button, triggered } = dash_clientside.callback_context;
    if (!button || !triggered[0].value) return dash_clientside.no_update;
    const at = Date.now();  // so that the same choice counts again
    if (button.ask) return { do: button.ask, of: button.of, start: button.from, end: button.to, at };
    const api = await dash_ag_grid.getApiAsync("providers");
    const rows = api.getSelectedNodes().filter(({ displayed, data }) => displayed && data.href);
    return { do: button.many, names: rows.map(({ data }) => data.id).sort(), at };
  },
  narrow: async function (search, conditions, rows, changed, ticks) {
    if (!rows) return "";  // before the first look at the stack
    const api = await dash_ag_grid.getApiAsync("providers");
    if ((api.getGridOption("quickFilterText") || "") !== (search || "")) api.setGridOption("quickFilterText", search || "");
    const wanted = (conditions || []).map((filter) => ({ filterType: "text", type: "equals", filter }));
    const model = wanted.length > 1 ? { filterType: "text", operator: "OR", conditions: wanted } : wanted[0] || null;
    if (JSON.stringify(conditions) !== api.wantedConditions) {
      api.wantedConditions = JSON.stringify(conditions);
      await api.setColumnFilterModel("status", model);
      api.onFilterChanged();
    }
    api.refreshCells({ force: true, columns: ["waiting", "success", "due"] });
    let all = 0;
    api.forEachLeafNode(() => all++);
    return `${api.getDisplayedRowCount().toLocaleString("en")} of ${all.toLocaleString("en")} providers shown`;
  },
};
