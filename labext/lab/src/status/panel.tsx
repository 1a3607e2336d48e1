import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { formatBytes, formatRatio } from '../format';
import { Prose } from '../proseview';
import { isRunning, isUnderWay } from '../applications/state';
import type {
  IApp,
  IGpus,
  IHistory,
  IKsm,
  IMyGpus,
  INode,
  IServerMemory,
  IServerStatus
} from '../rest/types';
import type { IApplications, IGpuUse, INodeStatus } from '../tokens';
import { type IGpuActs, MyGpus } from './gpupanel';
import { KernelNotes } from './kernelnotes';
import { memoryLevel } from './level';
import { type ITranslated, Meter, Row, Trouble } from './parts';
import { type ISparkPoint, sparkline } from './sparkline';
import {
  appMemoryWords,
  featureWords,
  ksmWhy,
  levelWords,
  limitWords,
  memoryWords,
  savedWords,
  sourceWords,
  spanWords
} from './wording';

/**
 * The panel behind the status bar item.
 */
export class StatusPanel extends ReactWidget {
  constructor(options: StatusPanel.IOptions) {
    super();
    this._options = options;
    this.addClass('jp-Samepage-statusPanel');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'dialog');
    this.node.setAttribute('aria-label', options.trans.__('Memory, GPU and node'));
  }

  /** Have the GPUs in sight, as soon as they are drawn. */
  showGpu(): void {
    void this.renderPromise?.then(() => {
      this.node.querySelector('.jp-Samepage-myGpus')?.scrollIntoView({ block: 'nearest' });
    });
  }

  protected override render(): React.JSX.Element {
    const { status, applications, gpu, acts, trans, close } = this._options;
    return (
      <div className="jp-Samepage-statusBody">
        <button
          type="button"
          className="jp-Samepage-iconButton jp-Samepage-close"
          title={trans.__('Close')}
          aria-label={trans.__('Close')}
          onClick={close}
        >
          <closeIcon.react tag="span" stylesheet="menuItem" />
        </button>
        <UseSignal signal={status.changed}>
          {() =>
            status.snapshot ? (
              <Contents
                snapshot={status.snapshot}
                applications={
                  applications ? (
                    <UseSignal signal={applications.changed}>
                      {() => (
                        <Applications apps={applications.snapshot?.apps ?? []} trans={trans} />
                      )}
                    </UseSignal>
                  ) : null
                }
                gpus={
                  <UseSignal signal={gpu.changed}>
                    {() =>
                      gpu.snapshot && gpu.snapshot.gpus.length > 0 ? (
                        <MyGpus use={gpu.snapshot} acts={acts} trans={trans} />
                      ) : status.snapshot?.node ? (
                        <Gpus
                          gpus={status.snapshot.node.gpus}
                          untold={gpu.snapshot?.state === 'not_told' ? gpu.snapshot : null}
                          trans={trans}
                        />
                      ) : null
                    }
                  </UseSignal>
                }
                trans={trans}
              />
            ) : (
              <Trouble
                message={status.error?.message ?? trans.__('Asking the server…')}
                fix={status.error?.fix ?? null}
                trans={trans}
              />
            )
          }
        </UseSignal>
      </div>
    );
  }

  private readonly _options: StatusPanel.IOptions;
}

export namespace StatusPanel {
  export interface IOptions {
    status: INodeStatus;
    /** Null where they are not listed. */
    applications: IApplications | null;
    gpu: IGpuUse;
    acts: IGpuActs;
    trans: TranslationBundle;
    close: () => void;
  }
}

function Contents(
  props: ITranslated & {
    snapshot: IServerStatus;
    applications: React.ReactNode;
    gpus: React.ReactNode;
  }
): React.JSX.Element {
  const { snapshot, applications, gpus, trans } = props;
  const { memory, agent, node, history, kernels, features } = snapshot;
  const failed = features.filter(feature => feature.state === 'failed');
  return (
    <>
      <ServerMemory memory={memory} trans={trans} />
      <KernelNotes notes={kernels} trans={trans} />
      {applications}
      {gpus}
      {node ? (
        <NodeMemory node={node} history={history} trans={trans} />
      ) : (
        <section>
          <h3>{trans.__('The machine you share')}</h3>
          {agent.state === 'off' ? (
            <p className="jp-Samepage-quiet">
              <Prose text={agent.message} />
            </p>
          ) : (
            <Trouble
              message={agent.message || trans.__('No node agent answers.')}
              fix={agent.fix}
              trans={trans}
            />
          )}
        </section>
      )}
      {failed.length > 0 ? (
        <section>
          <h3>{trans.__('Not working')}</h3>
          {failed.map(feature => (
            <Trouble
              key={feature.name}
              message={`${featureWords(feature.name, trans)}: ${feature.message}`}
              fix={null}
              trans={trans}
            />
          ))}
        </section>
      ) : null}
    </>
  );
}

function ServerMemory(props: ITranslated & { memory: IServerMemory }): React.JSX.Element {
  const { memory, trans } = props;
  const level = memoryLevel(memory.used_bytes, memory.limit_bytes);
  const warning = levelWords(level, trans);
  return (
    <section>
      <h3>{trans.__('This server')}</h3>
      <Row
        name={memory.limit_bytes === null ? trans.__('Memory used') : trans.__('Memory')}
        value={memoryWords(memory) ?? trans.__('not known')}
      />
      {memory.used_bytes !== null && memory.limit_bytes ? (
        <Meter
          ratio={memory.used_bytes / memory.limit_bytes}
          level={level}
          label={trans.__('Memory of this server')}
        />
      ) : null}
      <p className="jp-Samepage-quiet">
        {memory.used_bytes === null
          ? (memory.message ?? `${sourceWords(memory.source, trans)}.`)
          : `${sourceWords(memory.source, trans)}. ${limitWords(memory, trans)}`}
      </p>
      {warning !== null ? <Trouble message={warning} fix={null} trans={trans} /> : null}
    </section>
  );
}

function Applications(props: ITranslated & { apps: readonly IApp[] }): React.JSX.Element | null {
  const { apps, trans } = props;
  const listed = apps.filter(app => isRunning(app) || isUnderWay(app));
  if (listed.length === 0) {
    return null;
  }
  return (
    <section>
      <h3>{trans.__('Applications')}</h3>
      {listed.map(app => (
        <Row key={app.name} name={app.title} value={appMemoryWords(app, trans)} />
      ))}
    </section>
  );
}

function NodeMemory(
  props: ITranslated & { node: INode; history: IHistory | null }
): React.JSX.Element {
  const { node, history, trans } = props;
  const { ksm, memory } = node;
  const points = history?.points ?? [];
  const why = ksmWhy(ksm, trans);
  return (
    <section>
      <h3 title={trans.__('Node agent %1', node.version)}>
        {trans.__('The machine you share: %1', node.node)}
      </h3>
      <p className="jp-Samepage-saved">{savedWords(ksm, trans)}</p>
      <Sparkline
        points={points.map(point => ({ x: point.time, y: point.saved_bytes }))}
        label={trans.__('Memory saved')}
        trans={trans}
      />
      {why !== null ? (
        <p className="jp-Samepage-quiet" title={ksm.why}>
          {why}
        </p>
      ) : null}
      {ksm.stale ? (
        <p className="jp-Samepage-quiet">{trans.__('The last reading is old.')}</p>
      ) : null}
      {ksm.problem ? (
        <Trouble message={ksm.problem.message} fix={ksm.problem.fix} trans={trans} />
      ) : null}
      <Row
        name={trans.__('Memory available')}
        value={`${formatBytes(memory.available_bytes)} / ${formatBytes(memory.total_bytes)}`}
      />
      <KsmRows ksm={ksm} trans={trans} />
    </section>
  );
}

function KsmRows(props: ITranslated & { ksm: IKsm }): React.JSX.Element {
  const { ksm, trans } = props;
  return (
    <>
      {ksm.opted_in_processes !== null ? (
        <Row
          name={trans.__('Processes that take part')}
          value={ksm.opted_in_processes.toLocaleString()}
        />
      ) : null}
      {ksm.ksmd_cpu_ratio !== null ? (
        <Row
          name={trans.__('Work of merging')}
          value={trans.__('%1 of one core', formatRatio(ksm.ksmd_cpu_ratio))}
        />
      ) : null}
    </>
  );
}

function Gpus(
  props: ITranslated & { gpus: IGpus; untold: IMyGpus | null }
): React.JSX.Element | null {
  const { gpus, untold, trans } = props;
  if (gpus.state === 'no_driver' && gpus.devices.length === 0) {
    return null; // a node without a GPU is a normal node
  }
  return (
    <section>
      <h3>{trans.__('GPUs of this machine')}</h3>
      {gpus.state === 'error' || gpus.state === 'stale' ? (
        <Trouble message={gpus.message} fix={null} trans={trans} />
      ) : null}
      {gpus.devices.length > 0 ? (
        <table className="jp-Samepage-gpus">
          <thead>
            <tr>
              <th scope="col">{trans.__('GPU')}</th>
              <th scope="col">{trans.__('Memory')}</th>
              <th scope="col">{trans.__('Busy')}</th>
              <th scope="col">{trans.__('Processes')}</th>
            </tr>
          </thead>
          <tbody>
            {gpus.devices.map(gpu => (
              <tr key={gpu.uuid}>
                <th scope="row" title={gpu.uuid}>
                  {gpu.index} · {gpu.name}
                </th>
                <td>
                  {bytesOrDash(gpu.memory_used_bytes)} / {bytesOrDash(gpu.memory_total_bytes)}
                </td>
                <td>{gpu.busy_percent === null ? '–' : `${gpu.busy_percent} %`}</td>
                <td>{gpu.processes ?? '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p className="jp-Samepage-quiet">{gpus.message}</p>
      )}
      {untold !== null && gpus.devices.length > 0 ? (
        <p className="jp-Samepage-quiet" title={untold.fix ?? undefined}>
          {untold.message}
        </p>
      ) : null}
    </section>
  );
}

function Sparkline(
  props: ITranslated & { points: readonly ISparkPoint[]; label: string }
): React.JSX.Element | null {
  const { points, label, trans } = props;
  const line = sparkline(points, SPARK_WIDTH, SPARK_HEIGHT);
  if (!line) {
    return null;
  }
  const words = trans.__(
    '%1 over %2: from %3 to %4',
    label,
    spanWords(line.seconds, trans),
    formatBytes(line.low),
    formatBytes(line.high)
  );
  return (
    <figure className="jp-Samepage-spark" title={words}>
      <svg
        role="img"
        aria-label={words}
        viewBox={`0 -2 ${SPARK_WIDTH} ${SPARK_HEIGHT + 4}`}
        preserveAspectRatio="none"
      >
        <path d={line.path} />
      </svg>
      <figcaption className="jp-Samepage-quiet" aria-hidden="true">
        <span>{spanWords(line.seconds, trans)}</span>
        <span>{trans.__('up to %1', formatBytes(line.high))}</span>
      </figcaption>
    </figure>
  );
}

function bytesOrDash(bytes: number | null): string {
  return bytes === null ? '–' : formatBytes(bytes);
}

const SPARK_WIDTH = 300;
const SPARK_HEIGHT = 36;
