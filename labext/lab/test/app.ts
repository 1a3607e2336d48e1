import type { IApp } from '../src/rest/types';

/** An application that is installed and stopped, but for `changes`. */
export function app(changes: Partial<IApp> = {}): IApp {
  return {
    name: 'openrefine',
    title: 'OpenRefine',
    description: 'Clean tables',
    icon_svg: null,
    path: 'openrefine/',
    new_browser_tab: true,
    available: true,
    reason: null,
    fix: null,
    rank: 10,
    version: null,
    managed: true,
    third_party: false,
    launcher: true,
    state: 'stopped',
    phase: '',
    why: null,
    revision: 0,
    starting_seconds: null,
    uptime_seconds: null,
    idle_seconds: null,
    ready_seconds: null,
    usual_ready_seconds: null,
    memory_bytes: null,
    failure: null,
    ...changes
  };
}
