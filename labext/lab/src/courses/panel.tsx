import { ReactWidget } from '@jupyterlab/apputils';
import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  folderIcon,
  type LabIcon,
  refreshIcon,
  UseSignal
} from '@jupyterlab/ui-components';
import React from 'react';

import { coursesIcon, offlineIcon, waitingIcon, warningIcon } from '../icons';
import { Fix, Prose } from '../proseview';
import type { CourseState, ICourse, INews } from '../rest/types';
import type { CoursesModel } from './model';
import type { NewsModel } from './news';
import { type INewsActions, News } from './newsview';
import { announcement, stateWords } from './wording';

/** What the panel can ask for. */
export interface ICourseActions extends INewsActions {
  pull(id: string): void;
  openFolder(path: string): void;
}

/**
 * The Courses panel of the left sidebar.
 */
export class CoursesPanel extends ReactWidget {
  constructor(options: ICoursesPanelOptions) {
    super();
    this._options = options;
    this.id = 'jupyter-samepage-courses';
    this.addClass('jp-Samepage-courses');
    this.title.icon = coursesIcon;
    this.title.caption = options.trans.__('Courses');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', options.trans.__('Courses'));
  }

  protected override render(): React.JSX.Element {
    const { model, news } = this._options;
    return (
      <UseSignal signal={model.changed}>
        {() => <UseSignal signal={news.changed}>{() => <Courses {...this._options} />}</UseSignal>}
      </UseSignal>
    );
  }

  private readonly _options: ICoursesPanelOptions;
}

interface ICoursesPanelOptions extends IContext {
  readonly model: CoursesModel;
  readonly news: NewsModel;
}

interface IContext {
  readonly actions: ICourseActions;
  readonly trans: TranslationBundle;
}

function Courses(props: ICoursesPanelOptions): React.JSX.Element {
  const { model, news, actions, trans } = props;
  const { snapshot, error } = model;
  const courses = snapshot?.courses ?? [];
  return (
    <>
      <div className="jp-Samepage-coursesHeader">
        <h2>{trans.__('Courses')}</h2>
      </div>
      <Announcer courses={courses} trans={trans} />
      {error ? (
        <Notice icon={warningIcon} text={error.message} fix={error.fix} trans={trans}>
          <button
            type="button"
            className="jp-Samepage-button"
            onClick={() => {
              void model.refresh();
            }}
          >
            {trans.__('Try again')}
          </button>
        </Notice>
      ) : null}
      {!snapshot && !error ? (
        <p className="jp-Samepage-quiet">{trans.__('Asking the server for your courses…')}</p>
      ) : null}
      {snapshot?.state === 'failed' ? (
        <Notice
          icon={warningIcon}
          text={snapshot.message ?? trans.__('The courses could not be read.')}
          fix={snapshot.fix}
          trans={trans}
        />
      ) : null}
      {snapshot && snapshot.state !== 'failed' && courses.length === 0 ? (
        <Notice
          icon={coursesIcon}
          text={snapshot.message ?? trans.__('No course is set up on this server yet.')}
          fix={
            snapshot.fix ??
            trans.__(
              'The teacher gives the Git address of the course to whoever runs this server; once it is in the server’s configuration, the course pulls itself into your files.'
            )
          }
          trans={trans}
        />
      ) : null}
      {snapshot?.state === 'ok' && courses.length > 0 && snapshot.message !== null ? (
        <Notice icon={warningIcon} text={snapshot.message} fix={snapshot.fix} trans={trans} />
      ) : null}
      <ul className="jp-Samepage-courseList">
        {courses.map(course => (
          <li key={course.id}>
            <Course course={course} news={news.of(course.id)} actions={actions} trans={trans} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Course(props: IContext & { course: ICourse; news: INews | null }): React.JSX.Element {
  const { course, news, actions, trans } = props;
  const target = course.target;
  const pulling = course.state === 'pulling';
  const repeats = course.state === 'up_to_date' || pulling;
  const pullLabel = pulling ? trans.__('Pulling…') : trans.__('Pull now');
  return (
    <article className="jp-Samepage-course" aria-label={course.title} data-state={course.state}>
      <header>
        <h3 title={course.branch ? `${course.url} (${course.branch})` : course.url}>
          {course.title}
        </h3>
      </header>
      <div className="jp-Samepage-courseState">
        <State state={course.state} trans={trans} />
        {course.last_pull !== null ? <When time={course.last_pull} trans={trans} /> : null}
      </div>
      {pulling ? <Progress course={course} trans={trans} /> : null}
      {!repeats && course.message ? (
        <p className="jp-Samepage-courseMessage">
          <Prose text={course.message} />
        </p>
      ) : null}
      {course.fix ? <Fix fix={course.fix} trans={trans} /> : null}
      <div className="jp-Samepage-courseActions">
        <button
          type="button"
          className="jp-Samepage-button"
          aria-disabled={pulling}
          aria-label={trans.__('%1: %2', pullLabel, course.title)}
          onClick={() => {
            if (!pulling) {
              actions.pull(course.id);
            }
          }}
        >
          <refreshIcon.react tag="span" stylesheet="menuItem" />
          {pullLabel}
        </button>
        {target !== null ? (
          <button
            type="button"
            className="jp-Samepage-button"
            title={trans.__('Show %1 in the file browser', target)}
            aria-label={trans.__('Show %1 in the file browser', target)}
            onClick={() => {
              actions.openFolder(target);
            }}
          >
            <folderIcon.react tag="span" stylesheet="menuItem" />
            {trans.__('Folder')}
          </button>
        ) : null}
      </div>
      {course.waiting.length > 0 ? (
        <p className="jp-Samepage-quiet">
          {trans.__('The update of what is being edited waits: %1', course.waiting.join(', '))}
        </p>
      ) : null}
      {news ? <News course={course} news={news} actions={actions} trans={trans} /> : null}
    </article>
  );
}

function State(props: { state: CourseState; trans: TranslationBundle }): React.JSX.Element {
  const icon = STATE_ICONS[props.state];
  return (
    <span className="jp-Samepage-state" data-state={props.state}>
      <icon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
      {stateWords(props.state, props.trans)}
    </span>
  );
}

function When(props: { time: number; trans: TranslationBundle }): React.JSX.Element {
  const date = new Date(props.time * 1000);
  return (
    <time
      className="jp-Samepage-quiet"
      dateTime={date.toISOString()}
      title={props.trans.__('Last pull: %1', Time.format(date))}
    >
      {Time.formatHuman(date)}
    </time>
  );
}

function Progress(props: { course: ICourse; trans: TranslationBundle }): React.JSX.Element {
  const { course, trans } = props;
  const percent = course.progress?.percent ?? null;
  const phase = course.progress?.phase ?? trans.__('Starting');
  return (
    <div className="jp-Samepage-progress">
      <div
        role="progressbar"
        aria-label={trans.__('Pulling %1', course.title)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuetext={percent === null ? phase : `${phase} ${percent} %`}
        {...(percent === null ? {} : { 'aria-valuenow': percent })}
        className="jp-Samepage-progressTrack"
        data-unknown={percent === null}
      >
        <div style={percent === null ? {} : { width: `${percent}%` }} />
      </div>
      <span className="jp-Samepage-quiet">
        {phase}
        {percent === null ? '' : ` · ${percent} %`}
      </span>
    </div>
  );
}

function Notice(props: {
  icon: LabIcon;
  text: string;
  fix: string | null;
  trans: TranslationBundle;
  children?: React.ReactNode;
}): React.JSX.Element {
  return (
    <div className="jp-Samepage-notice">
      <div className="jp-Samepage-noticeText">
        <props.icon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
        <p>
          <Prose text={props.text} />
        </p>
      </div>
      {props.fix ? <Fix fix={props.fix} trans={props.trans} /> : null}
      {props.children}
    </div>
  );
}

/** Reads state changes out, but not the first states and not each percent. */
function Announcer(props: {
  courses: readonly ICourse[];
  trans: TranslationBundle;
}): React.JSX.Element {
  const { courses, trans } = props;
  const seen = React.useRef(new Map<string, CourseState>());
  const [said, say] = React.useState('');
  React.useEffect(() => {
    const changed = courses.filter(course => {
      const old = seen.current.get(course.id);
      return old !== undefined && old !== course.state;
    });
    seen.current = new Map(courses.map(course => [course.id, course.state]));
    if (changed.length > 0) {
      say(changed.map(course => announcement(course, trans)).join('. '));
    }
  }, [courses, trans]);
  return (
    <div role="status" aria-live="polite" className="jp-Samepage-hidden">
      {said}
    </div>
  );
}

const STATE_ICONS: Readonly<Record<CourseState, LabIcon>> = {
  waiting: waitingIcon,
  pulling: refreshIcon,
  up_to_date: checkIcon,
  offline: offlineIcon,
  failed: warningIcon
};
