// check-binary.mjs FILE ...: whether Linux binaries of the engine may be shipped. Each must be for the machine its folder
// names, need no newer glibc than RELIC_GLIBC_FLOOR (2.28 unless set: Debian 10, RHEL 8), need no library but glibc's own, and
// export only what Node.js looks for. Ends with `N passed, N failed`. Needs objdump (binutils) of any architecture.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const LIBRARIES = /^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-(x86-64|aarch64)\.so\.[12])$/;
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
/** e_machine of an ELF header. */
const MACHINES = { 62: 'linux-x64', 183: 'linux-arm64' };
const floor = process.env.RELIC_GLIBC_FLOOR ?? '2.28';
let [passed, failed] = [0, 0];

function check(what, ok, detail) {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}: ${detail}`);
}

function objdump(...args) {
  const { status, stdout, stderr } = spawnSync('objdump', args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`objdump ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function newest(versions) {
  const parts = (version) => version.split('.').map(Number);
  return versions.sort((a, b) => parts(b)[0] - parts(a)[0] || parts(b)[1] - parts(a)[1])[0] ?? '0.0';
}

for (const path of process.argv.slice(2)) {
  const bytes = readFileSync(path);
  const machine = MACHINES[bytes.readUInt16LE(18)] ?? 'another machine';
  const folder = basename(dirname(path));
  check(`${path} machine`, folder === machine || !folder.startsWith('linux-'), `${machine}, ${bytes.length} bytes`);

  const dynamic = objdump('-p', path);
  const needed = [...dynamic.matchAll(/^\s*NEEDED\s+(\S+)/gm)].map(([, name]) => name);
  check(`${path} libraries`, needed.length > 0 && needed.every((name) => LIBRARIES.test(name)), needed.join(' '));

  const symbols = objdump('-T', path).split('\n');
  const versions = symbols.flatMap((line) => /GLIBC_(\d+\.\d+)/.exec(line)?.[1] ?? []);
  const highest = newest([...versions]);
  const culprits = symbols.filter((line) => line.includes(`GLIBC_${highest})`)).map((line) => line.split(/\s+/).at(-1));
  check(`${path} glibc`, newest([highest, floor]) === floor, `${highest}, for ${culprits.slice(0, 8).join(' ')}`);

  const exported = symbols
    .filter((line) => /^[0-9a-f]+ [gwu]/.test(line) && !line.includes('*UND*') && !line.includes('*ABS*'))
    .map((line) => line.trim().split(/\s+/).at(-1));
  check(`${path} exports`, exported.sort().join() === EXPORTS.join(), exported.join(' '));
}
if (passed + failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
