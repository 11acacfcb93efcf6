// before the first paint: the person's choice of light or dark, else the system's
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("featurekit-theme"); } catch { /* storage may be off */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
