import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { checkIcon, copyIcon, redoIcon, undoIcon, type LabIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { compareIcon, takeIcon } from '../icons';
import type { ICourse, INews, INewsFile, INewsItem } from '../rest/types';
import { canOpen } from './paths';
import { changeSentence, changeWords } from './wording';

/** What can be done with news. */
export interface INewsActions {
  open(id: string, path: string): void;
  compare(id: string, path: string): void;
  take(id: string, path: string): void;
  copy(id: string, path: string): void;
  undo(id: string, pull: string, again: boolean): void;
  markSeen(id: string): void;
}

interface IContext {
  readonly course: ICourse;
  readonly actions: INewsActions;
  readonly trans: TranslationBundle;
}

/** Pulls shown before "Earlier"; the last pull is always among them. */
const SHOWN = 2;

/** What is new in a course, by pull. */
export function News(props: IContext & { news: INews }): React.JSX.Element | null {
  const { course, news, actions, trans } = props;
  const items = news.items.filter(item => item.act === 'pull' || !item.undone);
  if (items.length === 0) {
    return null;
  }
  const shown = Math.max(SHOWN, items.findIndex(item => item.act === 'pull') + 1);
  const [first, rest] = [items.slice(0, shown), items.slice(shown)];
  return (
    <section className="jp-Samepage-changes" aria-label={trans.__('What is new')}>
      <div className="jp-Samepage-newsTitle">
        <h4>{trans.__('What is new')}</h4>
        {news.unseen > 0 ? (
          <>
            <span className="jp-Samepage-badge" aria-label={trans.__('%1 not seen', news.unseen)}>
              {news.unseen}
            </span>
            <IconButton
              icon={checkIcon}
              label={trans.__('Mark everything in %1 as seen', course.title)}
              onClick={() => {
                actions.markSeen(course.id);
              }}
            />
          </>
        ) : null}
      </div>
      {first.map(item => (
        <Item key={item.id ?? 'first'} item={item} {...props} />
      ))}
      {rest.length > 0 ? (
        <details>
          <summary>{trans._n('One earlier pull', '%1 earlier pulls', rest.length)}</summary>
          {rest.map(item => (
            <Item key={item.id ?? 'first'} item={item} {...props} />
          ))}
        </details>
      ) : null}
    </section>
  );
}

function Item(props: IContext & { item: INewsItem }): React.JSX.Element {
  const { course, item, actions, trans } = props;
  const { id } = item;
  const date = new Date(item.time * 1000);
  const what =
    item.act === 'take'
      ? trans.__('You took the teacher’s version')
      : id === null
        ? trans.__('First pull')
        : trans.__('Pull');
  const button = item.undone ? trans.__('Redo') : trans.__('Undo');
  return (
    <div className="jp-Samepage-newsItem" data-undone={item.undone} data-act={item.act}>
      <div className="jp-Samepage-newsHead">
        <span className="jp-Samepage-quiet">
          {item.undone ? trans.__('Undone: %1', what) : what}
          {' · '}
          <time dateTime={date.toISOString()} title={Time.format(date)}>
            {Time.formatHuman(date)}
          </time>
        </span>
        {id === null ? null : (
          <button
            type="button"
            className="jp-Samepage-linkButton"
            title={
              item.undone
                ? trans.__('Bring the files of this pull again')
                : trans.__('Put the files back as they were before this pull')
            }
            aria-label={
              item.undone
                ? trans.__('Redo the pull of %1', Time.format(date))
                : trans.__('Undo the pull of %1', Time.format(date))
            }
            onClick={() => {
              actions.undo(course.id, id, item.undone);
            }}
          >
            {item.undone ? (
              <redoIcon.react tag="span" stylesheet="menuItem" />
            ) : (
              <undoIcon.react tag="span" stylesheet="menuItem" />
            )}
            {button}
          </button>
        )}
      </div>
      <ul>
        {item.files.map(file => (
          <li key={`${file.kind} ${file.path}`}>
            <File file={file} undone={item.undone} {...props} />
          </li>
        ))}
      </ul>
      {item.files_truncated ? (
        <p className="jp-Samepage-quiet">{trans.__('… and more files.')}</p>
      ) : null}
    </div>
  );
}

function File(props: IContext & { file: INewsFile; undone: boolean }): React.JSX.Element {
  const { course, file, undone, actions, trans } = props;
  const { path } = file;
  const original = file.of ?? path;
  const sentence = changeSentence(file.kind, trans);
  const there = file.kind !== 'deleted' && course.target !== null && !undone && canOpen(path);
  return (
    <div
      className="jp-Samepage-change"
      data-kind={file.kind}
      data-seen={file.seen}
      data-samepage-course={course.id}
      data-samepage-path={original}
      data-samepage-file={path}
      title={sentence}
    >
      <span className="jp-Samepage-dot" aria-hidden="true" />
      {there ? (
        <button
          type="button"
          className="jp-Samepage-changePath"
          onClick={() => {
            actions.open(course.id, path);
          }}
        >
          {path}
          {file.seen ? null : (
            <span className="jp-Samepage-hidden">{trans.__('(not seen yet)')}</span>
          )}
        </button>
      ) : (
        <span className="jp-Samepage-changePath">{path}</span>
      )}
      <span className="jp-Samepage-changeKind">{changeWords(file.kind, trans)}</span>
      <span
        className="jp-Samepage-changeTools"
        role="group"
        aria-label={trans.__('Actions for %1', path)}
      >
        <IconButton
          icon={compareIcon}
          label={trans.__('Compare %1 with the teacher’s version', original)}
          onClick={() => {
            actions.compare(course.id, original);
          }}
        />
        {file.kind === 'deleted' ? null : (
          <>
            <IconButton
              icon={takeIcon}
              label={trans.__('Take the teacher’s version of %1…', original)}
              onClick={() => {
                actions.take(course.id, original);
              }}
            />
            <IconButton
              icon={copyIcon}
              label={trans.__('Get a fresh copy of %1', original)}
              onClick={() => {
                actions.copy(course.id, original);
              }}
            />
          </>
        )}
      </span>
    </div>
  );
}

function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
}): React.JSX.Element {
  return (
    <button
      type="button"
      className="jp-Samepage-iconButton"
      title={props.label}
      aria-label={props.label}
      onClick={props.onClick}
    >
      <props.icon.react tag="span" stylesheet="menuItem" />
    </button>
  );
}
