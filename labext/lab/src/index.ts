import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { applicationList } from './applications/list';
import { applications } from './applications/plugin';
import { courseNotes } from './courses/notebar';
import { courses } from './courses/plugin';
import { running } from './running/plugin';
import { nodeStatus } from './status/nodestatus';
import { status } from './status/plugin';

export { IApplications, INodeStatus } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  nodeStatus,
  applicationList,
  applications,
  running,
  courses,
  courseNotes,
  status
];

export default plugins;
