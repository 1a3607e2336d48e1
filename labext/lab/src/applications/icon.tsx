import { LabIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { applicationsIcon } from '../icons';
import type { IApp } from '../rest/types';

/**
 * The icon of an application's launcher card. The launcher gives an item no say over its card
 * except through the icon, so the icon also marks the card of an application that cannot start,
 * and steps back for a neutral icon in the header of the section.
 */
class CardIcon extends LabIcon {
  /** Whether the application can start. */
  available = true;

  protected override _initReact(displayName: string): LabIcon.IReact {
    const Plain = super._initReact(displayName);
    const isAvailable = (): boolean => this.available;
    const Card = React.forwardRef<SVGElement, LabIcon.IReactProps>((props, ref) => {
      const mark = React.useRef<HTMLSpanElement>(null);
      const unavailable = !isAvailable();
      React.useLayoutEffect(() => {
        const card = mark.current?.closest('.jp-LauncherCard');
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
        <span ref={mark} className="jp-Samepage-cardIcon">
          <Plain {...props} ref={ref} />
        </span>
      );
    });
    Card.displayName = `CardIcon_${displayName}`;
    return Card as LabIcon.IReact;
  }
}

/**
 * The icons of the cards, one per application and state. A broken or missing picture becomes a
 * neutral one.
 */
export class CardIcons {
  /** The icon of this application; the same object as long as it looks the same. */
  get(app: IApp): LabIcon {
    const name = `jupyter-samepage:app-${app.name}${app.available ? '' : '-unavailable'}`;
    const known = this._icons.get(name);
    if (known && known.source === app.icon_svg) {
      return known.icon;
    }
    const icon = new CardIcon({
      name,
      svgstr: isSvg(app.icon_svg) ? app.icon_svg : applicationsIcon.svgstr
    });
    icon.available = app.available;
    this._icons.set(name, { icon, source: app.icon_svg });
    return icon;
  }

  private readonly _icons = new Map<string, { icon: LabIcon; source: string | null }>();
}

function isSvg(text: string | null): text is string {
  if (!text) {
    return false;
  }
  const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
  return parsed.documentElement.localName === 'svg' && parsed.querySelector('parsererror') === null;
}
