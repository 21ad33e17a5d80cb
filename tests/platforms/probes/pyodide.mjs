// Run a Python program in Pyodide: node pyodide.mjs PYODIDE MOUNTS ARGUMENTS…
// MOUNTS are directories separated by colons; each is mounted at the same path in Pyodide and added to the module path.
// ARGUMENTS are interpreter arguments: a file, or -m and a module, followed by the arguments of the program.
import { pathToFileURL } from "node:url";

const [, , pyodideDirectory, mounts, ...programArguments] = process.argv;
const { loadPyodide } = await import(pathToFileURL(`${pyodideDirectory}/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: `${pyodideDirectory}/` });
const directories = mounts.split(":");
for (const directory of directories) {
  pyodide.FS.mkdirTree(directory);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: directory }, directory);
}
pyodide.globals.set("directories", pyodide.toPy(directories));
pyodide.globals.set("arguments", pyodide.toPy(programArguments));
const status = pyodide.runPython(`
import os, runpy, sys, traceback

def start():
    sys.path[:0] = directories
    os.chdir(directories[0])
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path.insert(0, os.path.dirname(arguments[0]))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

status = start()
sys.stdout.flush()
sys.stderr.flush()
status
`);
process.exit(status); // open sockets of Python keep Node.js running
