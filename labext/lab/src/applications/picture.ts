import { applicationsIcon } from '../icons';
import type { IApp } from '../rest/types';

type Pictured = Pick<IApp, 'icon_svg' | 'icon_url' | 'third_party'>;

/**
 * The picture of an application, as an inline SVG. A third party's is wrapped as an image, so that
 * neither its styles nor its ids reach the page. A broken or missing one becomes a neutral one.
 *
 * @param baseUrl - of the server; `icon_url` is relative to it.
 */
export function pictureOf(app: Pictured, baseUrl: string): string {
  if (isSvg(app.icon_svg)) {
    return app.third_party
      ? image(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(app.icon_svg)}`)
      : app.icon_svg;
  }
  return app.icon_url
    ? image(new URL(app.icon_url, new URL(baseUrl, window.location.href)).href)
    : applicationsIcon.svgstr;
}

/** An SVG that shows the image at `url`. */
export function image(url: string): string {
  const href = url
    .replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
    .replaceAll('%', '%25'); // LabIcon decodes it once
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><image href="${href}" width="64" height="64"/></svg>`;
}

function isSvg(text: string | null): text is string {
  if (!text) {
    return false;
  }
  const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
  return parsed.documentElement.localName === 'svg' && parsed.querySelector('parsererror') === null;
}
