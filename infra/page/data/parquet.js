// @ts-check
/** Columns of a Parquet file by HTTP range requests. Talks to the file store alone; runs in the worker. */

import { decompress } from '../vendor/fzstd/esm/index.mjs';
import { parquetMetadataAsync, parquetRead } from '../vendor/hyparquet/src/index.js';

const ATTEMPTS = 3;

/** The signed address is no longer good. */
export class AddressExpired extends Error {
  name = 'AddressExpired';
}

export class ParquetColumns {
  /** @param {string} url @param {number} byteSize */
  constructor(url, byteSize) {
    this.file = {
      byteLength: byteSize,
      slice: (/** @type {number} */ start, /** @type {number} */ end = byteSize) => range(url, start, end),
    };
    /** @type {Promise<any> | null} */
    this.opened = null;
  }

  /** The file's footer; a footer that could not be fetched is asked for again. */
  #metadata() {
    this.opened ??= parquetMetadataAsync(this.file).catch((error) => {
      this.opened = null;
      throw error;
    });
    return this.opened;
  }

  /** Those of the columns that hold a value, by the footer alone. @param {string[]} columns @returns {Promise<string[]>} */
  async filled(columns) {
    const { row_groups: groups } = await this.#metadata();
    return columns.filter((name) =>
      groups.some((/** @type {{columns: {meta_data: any}[]}} */ group) =>
        group.columns.some(({ meta_data: told }) => told.path_in_schema[0] === name && holdsValue(told)),
      ),
    );
  }

  /**
   * Columns as numbers: NaN where there is no value, times in milliseconds.
   * @param {string[]} columns
   * @param {{beginning?: boolean}} [options] `beginning` reads the first row group alone
   * @returns {Promise<Record<string, Float64Array>>}
   */
  async read(columns, { beginning = false } = {}) {
    const metadata = await this.#metadata();
    const rows = Number(beginning ? metadata.row_groups[0].num_rows : metadata.num_rows);
    /** @type {Record<string, Float64Array>} */
    const values = Object.fromEntries(columns.map((name) => [name, new Float64Array(rows).fill(NaN)]));
    await parquetRead({
      file: this.file,
      metadata,
      columns,
      rowEnd: rows,
      compressors: {
        ZSTD: (/** @type {Uint8Array} */ input, /** @type {number} */ length) =>
          decompress(input, new Uint8Array(length)),
      },
      // Milliseconds with their fraction: a Date for each row would be slow and lose it.
      parsers: {
        timestampFromMicroseconds: (/** @type {bigint | undefined} */ micros) =>
          micros === undefined ? NaN : Number(micros) / 1000,
      },
      /** @param {{columnName: string, columnData: ArrayLike<any>, rowStart: number}} chunk */
      onChunk({ columnName, columnData, rowStart }) {
        const into = values[columnName];
        for (let i = 0; i < columnData.length; i += 1) {
          const value = columnData[i];
          if (value !== null && value !== undefined) into[rowStart + i] = Number(value);
        }
      },
    });
    return values;
  }
}

/**
 * Not when each of its rows is known to be null. The last definition level is that of values.
 * @param {{size_statistics?: {definition_level_histogram?: bigint[]}}} column
 */
const holdsValue = ({ size_statistics: sizes }) => sizes?.definition_level_histogram?.at(-1) !== 0n;

/** @param {string} url @param {number} start @param {number} end @returns {Promise<ArrayBuffer>} */
async function range(url, start, end) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(url, { headers: { Range: `bytes=${start}-${end - 1}` } });
      if (answer.status === 403) throw new AddressExpired('The address of the file has expired.');
      if (answer.status === 206) return await answer.arrayBuffer();
      if (answer.status === 200) return (await answer.arrayBuffer()).slice(start, end);
      throw new Error(`The file store answered ${answer.status}.`);
    } catch (error) {
      if (error instanceof AddressExpired || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
    }
  }
}
