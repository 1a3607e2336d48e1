import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { applicationList } from './applications/list';
import { applications } from './applications/plugin';
import { courseNotes } from './courses/notebar';
import { courses } from './courses/plugin';
import { running } from './running/plugin';
import { gpuUse } from './status/gpuuse';
import { nodeStatus } from './status/nodestatus';
import { status } from './status/plugin';

export { IApplications, IGpuUse, INodeStatus } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  nodeStatus,
  gpuUse,
  applicationList,
  applications,
  running,
  courses,
  courseNotes,
  status
];

export default plugins;
