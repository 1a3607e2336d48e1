import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { applications } from './applications/plugin';
import { courses } from './courses/plugin';
import { nodeStatus } from './status/nodestatus';
import { status } from './status/plugin';

export { INodeStatus } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [nodeStatus, applications, courses, status];

export default plugins;
