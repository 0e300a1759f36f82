// Makes a component of a JavaScript module: node build.mjs SOURCE WIT WORLD OUTPUT
import { writeFile } from 'node:fs/promises';

import { componentize } from '@bytecodealliance/componentize-js';

const [, , sourcePath, witPath, worldName, output] = process.argv;
// Only `fetch` is left, for a world that has HTTP: the host links no clock, no random numbers and no console worth
// having.
const disableFeatures = ['stdio', 'random', 'clocks', 'fetch-event'];
if (worldName !== 'http-target') disableFeatures.push('http');
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(output, component);
