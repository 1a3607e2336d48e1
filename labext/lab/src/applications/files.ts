import { PathExt } from '@jupyterlab/coreutils';

/**
 * The kinds of files an application is offered for, by the suffix in lower case. The server's
 * definitions take some more; these are the ones worth a line in the context menu.
 */
const OPENREFINE = new Set(['.csv', '.tsv', '.json', '.xlsx', '.xml']);
const RSTUDIO = new Set(['.r', '.rmd', '.qmd', '.rproj']);

/** The suffixes of an application's files; null for one that is not offered for files. */
export function suffixesOf(appName: string): ReadonlySet<string> | null {
  if (appName === 'openrefine') {
    return OPENREFINE;
  }
  // One card per version of R: rstudio, rstudio-4.4, …
  return appName === 'rstudio' || appName.startsWith('rstudio-') ? RSTUDIO : null;
}

/** True when an application is offered for the file at `path`. */
export function opensFile(appName: string, path: string): boolean {
  return suffixesOf(appName)?.has(PathExt.extname(path).toLowerCase()) ?? false;
}
