// @ts-check
/** Downloads: each Parquet file by a fresh signed address, the track as GeoJSON. */

import { announce, h, icon, save, setText } from '../dom.js';
import { counted, size } from '../format.js';
import { streamWords } from '../words.js';

/**
 * @param {import('../api.js').Api} api @param {import('../types.js').SessionDetail} session
 * @param {() => Promise<import('../data/recording.js').Recording>} recording gives it once it holds every fix
 */
export function filesCard(api, session, recording) {
  const told = h('p', { class: 'muted', role: 'status' });
  /** @param {string} words @param {string} note @param {() => Promise<void>} fetch */
  const row = (words, note, fetch) => {
    const button = h(
      'button',
      {
        type: 'button',
        'aria-label': `Download ${words}`,
        onclick: async () => {
          button.disabled = true;
          setText(told, '');
          try {
            await fetch();
            announce(`${words} is being downloaded`);
          } catch (error) {
            setText(told, error instanceof Error ? error.message : String(error));
          } finally {
            button.disabled = false;
          }
        },
      },
      icon('download'),
      'Download',
    );
    return h('li', {}, h('span', {}, words, ' ', h('span', { class: 'muted' }, note)), button);
  };
  const several = session.files.length > 1;
  const name = () => session.name.replace(/[^\p{L}\p{N}._-]+/gu, '_') || session.sessionId;
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'files-title' },
    h('div', { class: 'card-head' }, h('h2', { id: 'files-title' }, 'Downloads')),
    h(
      'ul',
      { class: 'downloads plain' },
      ...session.datasets.map((dataset) => {
        const file = several ? session.files.find(({ uploadId }) => uploadId === dataset.uploadId)?.fileName : '';
        const note = ['Parquet', counted(dataset.rowCount, 'row', 'rows'), size(dataset.byteSize)].join(', ');
        return row([streamWords(dataset.stream), file].filter(Boolean).join(' of '), note, async () => {
          const { datasets } = await api.get(`/sessions/${session.sessionId}/datasets`);
          const fresh = datasets.find(
            (/** @type {import('../types.js').Dataset} */ one) => one.datasetId === dataset.datasetId,
          );
          if (!fresh?.download) throw new Error('This file is not there any more. Load the page again.');
          save(fresh.download.url);
        });
      }),
      row('Track for a map', 'GeoJSON, up to 2,000 points', async () => {
        const track = await api.get(`/sessions/${session.sessionId}/track`);
        saveBlob(new Blob([JSON.stringify(track)], { type: 'application/geo+json' }), `${name()}.geojson`);
      }),
      row('Track in full', 'GeoJSON, every fix', async () => {
        saveBlob(await (await recording()).geojson(), `${name()}-full.geojson`);
      }),
    ),
    told,
  );
}

/** @param {Blob} blob @param {string} fileName */
function saveBlob(blob, fileName) {
  const url = URL.createObjectURL(blob);
  save(url, fileName);
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
