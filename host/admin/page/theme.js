// Runs before the first paint: the theme that was chosen last, else that of the system.
(() => {
  let chosen = ''
  try { chosen = localStorage.getItem('theme') } catch { /* a browser that keeps nothing */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.classList.add(chosen)
})()
