/**
 * A new tab of the browser whose page may be known only later. It has to be made while a click is
 * being handled, or the browser blocks it.
 */
export class BrowserTab {
  /**
   * @param url - the page, absolute; null for an empty one until `show`.
   * @param words - what the empty one says.
   */
  constructor(url: string | null, words = '') {
    this._tab = window.open(url ?? '', '_blank');
    if (!this._tab) {
      return;
    }
    this._tab.opener = null;
    if (url === null) {
      const page = this._tab.document;
      page.documentElement.style.colorScheme = 'light dark';
      page.title = words;
      page.body.textContent = words;
    }
  }

  /** Show another page in it; false when the tab was blocked or is closed. */
  show(url: string): boolean {
    if (!this._tab || this._tab.closed) {
      return false;
    }
    this._tab.location.replace(url);
    return true;
  }

  close(): void {
    this._tab?.close();
  }

  private readonly _tab: Window | null;
}
