import React from 'react';

import { formatBytes } from '../format';
import type { IGpuFlag, IGpuProcess, IMyGpu, IMyGpus } from '../rest/types';
import {
  dutyWords,
  flagWords,
  freeWords,
  lastWorkWords,
  processWords,
  readingWords,
  reasons,
  sharersWords,
  sumWords
} from './gpuwording';
import { heldBy, known, processesOn, shownGpus } from './mygpu';
import { type ITranslated, Row, Trouble } from './parts';

/** What can be done from the panel. */
export interface IGpuActs {
  /** End a kernel, after a question. */
  free(kernel: string): void;

  /** Put the reminder of a GPU off; 0 seconds: no longer. */
  snooze(gpu: string, seconds: number): void;
}

interface IPart extends ITranslated {
  readonly use: IMyGpus;
  readonly acts: IGpuActs;
}

const SNOOZE_S = 3600;

/** The GPUs of this user: what they hold of each, what is free, and who else is on it. */
export function MyGpus(props: IPart): React.JSX.Element {
  const { use, trans } = props;
  return (
    <section className="jp-Samepage-myGpus" tabIndex={-1}>
      <h3>{trans.__('My GPU')}</h3>
      {use.state !== 'ok' ? <Trouble message={use.message} fix={use.fix} trans={trans} /> : null}
      {shownGpus(use).map(gpu => (
        <Gpu key={gpu.uuid} {...props} gpu={gpu} />
      ))}
      {use.why !== null ? (
        <p className="jp-Samepage-quiet">
          {trans.__('What you use of it is not known: %1.', use.why.replace(/\.$/, ''))}
        </p>
      ) : null}
    </section>
  );
}

function Gpu(props: IPart & { gpu: IMyGpu }): React.JSX.Element {
  const { use, gpu, trans } = props;
  const processes = processesOn(use, gpu.uuid);
  const missing = reasons(gpu, processes);
  return (
    <div className="jp-Samepage-gpu">
      <p className="jp-Samepage-gpuName" title={gpu.uuid}>
        {gpu.kind === 'mig'
          ? trans.__('%1, a part of it (MIG)', nameOf(props))
          : trans.__('GPU %1 · %2', gpu.index, nameOf(props))}
      </p>
      <Shares gpu={gpu} processes={processes} trans={trans} />
      <Row name={trans.__('Free memory')} value={freeWords(gpu, trans)} />
      {use.why === null ? (
        <Row
          name={trans.__('Memory that you hold')}
          value={processes.length > 0 ? sumWords(heldBy(processes), trans) : trans.__('none')}
        />
      ) : null}
      <Row name={trans.__('Used by')} value={sharersWords(gpu, trans)} />
      {known(gpu.unified_memory) === true ? (
        <p className="jp-Samepage-quiet">{trans.__('It uses the memory of the node.')}</p>
      ) : null}
      {use.flags
        .filter(flag => flag.gpu === gpu.uuid && flag.stage !== 'none')
        .map(flag => (
          <Flag key={flag.gpu} {...props} flag={flag} />
        ))}
      {processes.length > 0 ? (
        <ul className="jp-Samepage-gpuProcesses">
          {processes.map(process => (
            <Process key={process.pid} {...props} process={process} />
          ))}
        </ul>
      ) : null}
      {missing.length > 0 ? (
        <p className="jp-Samepage-quiet">{trans.__('Not known: %1.', missing.join('; '))}</p>
      ) : null}
    </div>
  );
}

function nameOf({ gpu, trans }: ITranslated & { gpu: IMyGpu }): string {
  return readingWords(gpu.name, name => name, trans);
}

/** Of the GPU's memory: the user's, that of others, and what is free. */
function Shares(
  props: ITranslated & { gpu: IMyGpu; processes: readonly IGpuProcess[] }
): React.JSX.Element | null {
  const { gpu, processes, trans } = props;
  const total = known(gpu.memory_total_bytes);
  const used = known(gpu.memory_used_bytes);
  if (!total || used === null) {
    return null;
  }
  const mine = Math.min(heldBy(processes)?.bytes ?? 0, used);
  const percent = (bytes: number): number => Math.min(100, (bytes / total) * 100);
  const words = trans.__(
    'You hold %1, others %2, of %3',
    formatBytes(mine),
    formatBytes(used - mine),
    formatBytes(total)
  );
  return (
    <div
      className="jp-Samepage-meter jp-Samepage-shares"
      role="img"
      aria-label={words}
      title={words}
    >
      <div style={{ width: `${percent(mine)}%` }} />
      <div className="jp-Samepage-others" style={{ width: `${percent(used - mine)}%` }} />
    </div>
  );
}

function Flag(props: IPart & { flag: IGpuFlag }): React.JSX.Element {
  const { use, flag, acts, trans } = props;
  const until = flag.snoozed_until;
  if (until !== null) {
    return (
      <div className="jp-Samepage-flag">
        <p className="jp-Samepage-quiet" title={flag.evidence.join('\n')}>
          {flagWords(flag, use, trans)}{' '}
          {trans.__('You put the reminder off until %1.', clock(until))}
        </p>
        <div className="jp-Samepage-actions">
          <button
            type="button"
            className="jp-Samepage-button"
            onClick={() => {
              acts.snooze(flag.gpu, 0);
            }}
          >
            {trans.__('Remind me again')}
          </button>
        </div>
      </div>
    );
  }
  return (
    <div className="jp-Samepage-flag" title={flag.evidence.join('\n')} data-stage={flag.stage}>
      <Trouble message={flagWords(flag, use, trans)} fix={null} trans={trans} />
      <p className="jp-Samepage-quiet">
        {flag.stage === 'admin'
          ? trans.__('Others may be waiting for it, and your operator sees it too.')
          : trans.__('Others may be waiting for it.')}
        {flag.command !== null ? ` ${trans.__('To free it: %1.', flag.command)}` : null}
      </p>
      <div className="jp-Samepage-actions">
        {flag.kernel_ids.length === 1 ? (
          <FreeButton {...props} kernel={flag.kernel_ids[0] ?? ''} named={null} />
        ) : null}
        <button
          type="button"
          className="jp-Samepage-button"
          onClick={() => {
            acts.snooze(flag.gpu, SNOOZE_S);
          }}
        >
          {trans.__('Remind me in an hour')}
        </button>
      </div>
    </div>
  );
}

function Process(props: IPart & { gpu: IMyGpu; process: IGpuProcess }): React.JSX.Element {
  const { use, gpu, process, trans } = props;
  const name = processWords(process, use, trans);
  const last = lastWorkWords(process, use.time, trans);
  const flagged = use.flags.some(
    flag =>
      flag.gpu === gpu.uuid &&
      flag.stage !== 'none' &&
      flag.snoozed_until === null &&
      flag.kernel_ids.length === 1 &&
      flag.kernel_ids[0] === process.kernel_id
  );
  return (
    <li>
      <div className="jp-Samepage-gpuProcess">
        <p>
          <strong>{name}</strong> {readingWords(process.memory_bytes, formatBytes, trans)}
          {last !== null ? ` · ${last}` : null}
        </p>
        <p className="jp-Samepage-quiet">
          {trans.__('Busy the last 1 · 5 · 15 min: %1', dutyWords(process, trans))}
        </p>
      </div>
      {process.kernel_id !== null && !flagged ? (
        <FreeButton {...props} kernel={process.kernel_id} named={name} />
      ) : null}
    </li>
  );
}

function FreeButton(
  props: ITranslated & { acts: IGpuActs; kernel: string; named: string | null }
): React.JSX.Element {
  const { acts, kernel, named, trans } = props;
  return (
    <button
      type="button"
      className="jp-Samepage-button"
      aria-label={named === null ? undefined : trans.__('Free the GPU memory of %1', named)}
      aria-haspopup="dialog"
      onClick={() => {
        acts.free(kernel);
      }}
    >
      {named === null ? trans.__('Free the memory…') : trans.__('Free…')}
    </button>
  );
}

function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
