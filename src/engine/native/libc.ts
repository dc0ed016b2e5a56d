/** Which C library this Node.js runs on: binaries are made for one of them. */

/** The version of glibc; undefined on musl and on systems that have neither. */
export function glibcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  // Without this the report may wait for name servers; older type declarations do not know it.
  Object.assign(process.report, { excludeNetwork: true });
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime;
}
