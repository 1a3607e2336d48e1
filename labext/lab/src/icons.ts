import { LabIcon } from '@jupyterlab/ui-components';

function icon(name: string, body: string): LabIcon {
  return new LabIcon({
    name: `jupyter-samepage:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">${body}</svg>`
  });
}

export const applicationsIcon = icon(
  'applications',
  '<g class="jp-icon3" fill="#616161"><rect x="4" y="4" width="7" height="7" rx="1.5"/><rect x="13" y="4" width="7" height="7" rx="1.5"/><rect x="4" y="13" width="7" height="7" rx="1.5"/><circle cx="16.5" cy="16.5" r="3.75"/></g>'
);

export const coursesIcon = icon(
  'courses',
  '<path class="jp-icon3" fill="#616161" d="M12 3 1 8.5 12 14l9-4.5V16h2V8.500L12 3zM5 12.700V17c0 1.7 3.1 3 7 3s7-1.3 7-3v-4.300l-7 3.5-7-3.500z"/>'
);

export const waitingIcon = icon(
  'waiting',
  '<path class="jp-icon3" fill="#616161" d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14zm-1 2v5.500l4 2.4 1-1.7-3-1.800V7h-2z"/>'
);

export const offlineIcon = icon(
  'offline',
  '<path class="jp-icon3" fill="#616161" d="M3.3 3 2 4.300l3.7 3.700A6 6 0 0 0 6.5 20h11.200l2 2 1.3-1.300L3.3 3zM6.5 18a4 4 0 0 1 0-8h1.200l8 8H6.500zM19.4 10A7.5 7.5 0 0 0 8.8 5.200l1.5 1.500A5.5 5.5 0 0 1 17.5 11.500V12H19a3 3 0 0 1 2.1 5.100l1.4 1.400A5 5 0 0 0 19.4 10z"/>'
);

export const warningIcon = icon(
  'warning',
  '<path class="jp-Samepage-warnShape jp-icon3" fill="#616161" d="M12 2.5 1 21.500h22L12 2.500zm-1 7h2v6h-2v-6zm0 7.500h2v2h-2v-2z"/>'
);

export const memoryIcon = icon(
  'memory',
  '<path class="jp-icon3" fill="#616161" d="M7 5V2h2v3h2V2h2v3h2V2h2v3h1a1 1 0 0 1 1 1v1h3v2h-3v2h3v2h-3v2h3v2h-3v1a1 1 0 0 1-1 1h-1v3h-2v-3h-2v3h-2v-3H9v3H7v-3H6a1 1 0 0 1-1-1v-1H2v-2h3v-2H2v-2h3V9H2V7h3V6a1 1 0 0 1 1-1h1zm1 3v8h8V8H8z"/>'
);

export const runningMarkIcon = icon(
  'running-mark',
  '<circle class="jp-Samepage-runningShape" cx="12" cy="12" r="10"/><path class="jp-Samepage-runningSign" d="m9.5 7 8 5-8 5V7z"/>'
);

export const logIcon = icon(
  'log',
  '<path class="jp-icon3" fill="#616161" d="M4 3h16a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zm1 2v14h14V5H5zm2 3h10v2H7V8zm0 4h10v2H7v-2zm0 4h6v2H7v-2z"/>'
);

export const compareIcon = icon(
  'compare',
  '<path class="jp-icon3" fill="#616161" d="M4 4h6v2H6v12h4v2H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zm7-2h2v20h-2V2zm3 2h6a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1h-6v-2h4V6h-4V4z"/>'
);

export const takeIcon = icon(
  'take',
  '<path class="jp-icon3" fill="#616161" d="M11 3h2v9l3.500-3.500 1.4 1.400L12 15.900 6.100 9.900l1.4-1.400L11 12V3zM4 18h16v2H4v-2z"/>'
);
