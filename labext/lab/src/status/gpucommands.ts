import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ServiceManager } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { formatBytes } from '../format';
import { tellError } from '../notify';
import type { RestClient } from '../rest/client';
import type { IGpuKernel, IMyGpus } from '../rest/types';
import type { IGpuUse } from '../tokens';
import { dueFlags, heldBy, kernelOf, largestKernel, notebookName } from './mygpu';

const HOUR_S = 3600;

/** The commands that free GPU memory, and that put reminders off. */
export function addGpuCommands(context: {
  app: JupyterFrontEnd;
  client: RestClient;
  use: IGpuUse;
  notebooks: INotebookTracker | null;
  trans: TranslationBundle;
}): void {
  const { app, client, use, notebooks, trans } = context;
  const { commands, serviceManager } = app;

  const chosen = (id: unknown): IGpuKernel | null => {
    const { snapshot } = use;
    if (snapshot === null) {
      return null;
    }
    return typeof id === 'string' ? kernelOf(snapshot, id) : largestKernel(snapshot);
  };

  commands.addCommand(CommandIDs.freeGpu, {
    label: trans.__('Free GPU Memory…'),
    caption: trans.__('End the kernel that holds most of it, or another'),
    isEnabled: args => chosen(args['kernel']) !== null,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          kernel: {
            type: 'string',
            description: 'Id of the kernel; without it the one that holds most'
          }
        }
      }
    },
    execute: async args => {
      const kernel = chosen(args['kernel']);
      const { snapshot } = use;
      if (kernel === null || snapshot === null) {
        return;
      }
      const open = notebooks?.find(panel => kernelIn(panel) === kernel.id) ?? null;
      const answer = await ask(kernel, snapshot, open !== null, trans);
      try {
        if (answer === 'restart') {
          await open?.sessionContext.restartKernel();
        } else if (answer === 'shutdown') {
          await shutDown(kernel.id, serviceManager);
        }
      } catch (reason) {
        tellError(trans.__('The kernel could not be ended'), reason);
      }
      if (answer !== null) {
        await use.refresh();
      }
    }
  });

  commands.addCommand(CommandIDs.snoozeGpu, {
    label: trans.__('Remind Me of Idle GPU Memory in an Hour'),
    caption: trans.__('Your operator goes on seeing it'),
    isEnabled: args => typeof args['gpu'] === 'string' || dueFlags(use.snapshot).length > 0,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          gpu: { type: 'string', description: 'UUID of the GPU; without it every one' },
          seconds: { type: 'number', description: 'How long; 0: remind again' }
        }
      }
    },
    execute: async args => {
      const { gpu, seconds } = args;
      const gpus = typeof gpu === 'string' ? [gpu] : dueFlags(use.snapshot).map(flag => flag.gpu);
      const time = typeof seconds === 'number' ? seconds : HOUR_S;
      try {
        await Promise.all(gpus.map(each => client.snoozeGpu(each, time)));
      } catch (reason) {
        tellError(trans.__('The reminder could not be put off'), reason);
      }
      await use.refresh();
    }
  });
}

function kernelIn(panel: NotebookPanel): string | null {
  return panel.sessionContext.session?.kernel?.id ?? null;
}

async function shutDown(id: string, services: ServiceManager.IManager): Promise<void> {
  for (const session of services.sessions.running()) {
    if (session.kernel?.id === id) {
      await services.sessions.shutdown(session.id);
      return;
    }
  }
  await services.kernels.shutdown(id);
}

/** What to do with the kernel; null: nothing. */
async function ask(
  kernel: IGpuKernel,
  use: IMyGpus,
  restartable: boolean,
  trans: TranslationBundle
): Promise<'restart' | 'shutdown' | null> {
  const held = heldBy(use.processes.filter(process => process.kernel_id === kernel.id));
  const name = notebookName(kernel) ?? trans.__('a kernel without a notebook');
  const parts = [
    held === null
      ? trans.__('Ending the kernel of %1 frees the GPU memory that it holds.', name)
      : trans.__('Ending the kernel of %1 frees %2 of the GPU.', name, formatBytes(held.bytes)),
    trans.__('Its variables are lost. The notebook and what it shows stay.'),
    ...(kernel.execution_state === 'busy'
      ? [trans.__('It is computing now: that is lost as well.')]
      : [])
  ];
  const result = await showDialog({
    title: trans.__('Free GPU memory?'),
    body: parts.join(' '),
    buttons: [
      Dialog.cancelButton(),
      ...(restartable
        ? [Dialog.warnButton({ label: trans.__('Restart kernel'), actions: ['restart'] })]
        : []),
      Dialog.warnButton({ label: trans.__('Shut down kernel'), actions: ['shutdown'] })
    ],
    defaultButton: 0
  });
  if (!result.button.accept) {
    return null;
  }
  return result.button.actions.includes('restart') ? 'restart' : 'shutdown';
}
