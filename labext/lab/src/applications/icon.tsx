import type { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { applicationsIcon, runningMarkIcon, waitingIcon, warningIcon } from '../icons';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { pictureOf } from './picture';
import { type CardMark, cardMark } from './state';

/**
 * The icon of an application's launcher card. The launcher gives an item no say over its card
 * except through the icon, so the icon also marks the card of an application that cannot start or
 * that runs, and steps back for a neutral icon in the header of the section.
 */
class CardIcon extends LabIcon {
  /** Set right after construction; the card is rendered later. */
  look: ICardLook | null = null;

  protected override _initReact(displayName: string): LabIcon.IReact {
    const Plain = super._initReact(displayName);
    const getLook = (): ICardLook | null => this.look;
    const Card = React.forwardRef<SVGElement, LabIcon.IReactProps>((props, ref) => {
      const frame = React.useRef<HTMLSpanElement>(null);
      const look = getLook();
      const unavailable = look !== null && !look.available;
      React.useLayoutEffect(() => {
        const card = frame.current?.closest('.jp-LauncherCard');
        if (!card || !unavailable) {
          return undefined;
        }
        card.classList.add('jp-Samepage-mod-unavailable');
        card.setAttribute('aria-disabled', 'true');
        return () => {
          card.classList.remove('jp-Samepage-mod-unavailable');
          card.removeAttribute('aria-disabled');
        };
      });
      if (props.stylesheet === 'launcherSection') {
        return <applicationsIcon.react {...props} ref={ref} />;
      }
      return (
        <span ref={frame} className="jp-Samepage-cardIcon">
          <Plain {...props} ref={ref} />
          {look ? <Mark look={look} /> : null}
        </span>
      );
    });
    Card.displayName = `CardIcon_${displayName}`;
    return Card as LabIcon.IReact;
  }
}

interface ICardLook {
  readonly name: string;
  readonly available: boolean;
  readonly model: IApplications;
  readonly trans: TranslationBundle;
}

/** Says on the card what the application is doing, and renews itself. */
function Mark(props: { look: ICardLook }): React.JSX.Element | null {
  const { name, model, trans } = props.look;
  const mark = React.useSyncExternalStore(
    React.useCallback(
      (changed: () => void) => {
        model.changed.connect(changed);
        return () => {
          model.changed.disconnect(changed);
        };
      },
      [model]
    ),
    () => cardMark(model.find(name))
  );
  if (mark === 'none') {
    return null;
  }
  const words = markWords(mark, trans);
  const Icon = MARKS[mark];
  return (
    <span
      className="jp-Samepage-cardMark"
      data-mark={mark}
      role="img"
      aria-label={words}
      title={words}
    >
      <Icon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
    </span>
  );
}

function markWords(mark: Exclude<CardMark, 'none'>, trans: TranslationBundle): string {
  switch (mark) {
    case 'starting':
      return trans.__('Starting');
    case 'running':
      return trans.__('Running');
    case 'failed':
      return trans.__('Failed');
  }
}

const MARKS: Readonly<Record<Exclude<CardMark, 'none'>, LabIcon>> = {
  starting: waitingIcon,
  running: runningMarkIcon,
  failed: warningIcon
};

/**
 * The icons of the cards, one per application and availability.
 */
export class CardIcons {
  constructor(options: CardIcons.IOptions) {
    this._options = options;
  }

  /** The icon of this application; the same object as long as it looks the same. */
  get(app: IApp): LabIcon {
    const name = `jupyter-samepage:app-${app.name}${app.available ? '' : '-unavailable'}`;
    const { baseUrl, model, trans } = this._options;
    const svgstr = pictureOf(app, baseUrl);
    const known = this._icons.get(name);
    if (known?.svgstr === svgstr) {
      return known;
    }
    const icon = new CardIcon({ name, svgstr });
    icon.look = { name: app.name, available: app.available, model, trans };
    this._icons.set(name, icon);
    return icon;
  }

  private readonly _options: CardIcons.IOptions;
  private readonly _icons = new Map<string, LabIcon>();
}

export namespace CardIcons {
  export interface IOptions {
    model: IApplications;
    /** Of the server. */
    baseUrl: string;
    trans: TranslationBundle;
  }
}

/**
 * The icons of applications everywhere else, such as in tabs; one per application.
 */
export class AppIcons {
  /** @param baseUrl - of the server. */
  constructor(baseUrl: string) {
    this._baseUrl = baseUrl;
  }

  /** The icon of this application; the same object as long as it looks the same. */
  get(app: IApp): LabIcon {
    const svgstr = pictureOf(app, this._baseUrl);
    const known = this._icons.get(app.name);
    if (known?.svgstr === svgstr) {
      return known;
    }
    const icon = new LabIcon({ name: `jupyter-samepage:picture-${app.name}`, svgstr });
    this._icons.set(app.name, icon);
    return icon;
  }

  private readonly _baseUrl: string;
  private readonly _icons = new Map<string, LabIcon>();
}
