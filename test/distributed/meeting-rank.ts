/**
 * One rank of a run that only meets: `meeting-rank.ts DIR`. Rank 0 listens; each other rank connects to where it was told
 * and says the run id. Each leaves what it saw in DIR.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { discoverRank } from '../../src/distributed/discovery.ts';
import { meet } from '../../src/distributed/meet.ts';

const place = discoverRank();
const visitors: Promise<string>[] = [];
let server: Server | undefined;

async function hello(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

/** Rank 0 need not listen yet where all were told its address. */
async function visit(text: string): Promise<void> {
  for (;;) {
    const socket = connect(port, host);
    try {
      await once(socket, 'connect');
      socket.end(text);
      return;
    } catch {
      await pause(50);
    }
  }
}

const { runId, host, port, done } = await meet(place, {
  async listen(address, ports) {
    server = createServer((socket) => visitors.push(hello(socket)));
    const [first] = ports;
    server.listen(first, address);
    await once(server, 'listening');
    return { host: address, port: first };
  },
});
let heard: string[] = [];
if (server !== undefined) {
  while (visitors.length < place.size - 1) await once(server, 'connection');
  heard = await Promise.all(visitors);
  server.close();
} else {
  await visit(`${place.rank} of ${runId}`);
}
done();
const { rank, size, localRank, localSize, source } = place;
const seen = { rank, size, localRank, localSize, source, runId, host, port, heard: heard.sort() };
writeFileSync(join(process.argv[2], `rank.${rank}.json`), JSON.stringify(seen));
