"""What a notebook can see of its kernel: cells that print JSON, to be run in two kernels."""

PROBES: dict[str, str] = {
    "process": """
import json, os, resource, signal, sys
rows = open('/proc/self/status').read().splitlines()
files = sorted(int(name) for name in os.listdir('/proc/self/fd'))
print(json.dumps({
    'argv': sys.argv[:2], 'orig': sys.orig_argv[:4], 'executable': sys.executable,
    'path': sys.path, 'flags': str(sys.flags), 'cwd': os.getcwd(), 'prefix': sys.prefix,
    'environment': dict(sorted(os.environ.items())),
    'signals': [row for row in rows if row.startswith(('SigIgn', 'SigBlk', 'SigCgt'))],
    'session': os.getsid(0) == os.getpid(), 'group': os.getpgid(0) == os.getpid(),
    'first files': files[:3], 'cycle': sys.getrecursionlimit(),
    'limits': [resource.getrlimit(n) for n in (resource.RLIMIT_STACK, resource.RLIMIT_NOFILE)],
    'handlers': [str(signal.getsignal(n)) for n in (signal.SIGALRM, signal.SIGPIPE)],
    'pycache': sys.pycache_prefix, 'timer': signal.getitimer(signal.ITIMER_REAL),
}), end='')
""",
    "figures below their cell": """
import json, matplotlib.pyplot as plt
from IPython import get_ipython
plt.figure()
shell = get_ipython()
print(json.dumps({
    'backend': plt.get_backend(),
    'after a cell': sorted(f'{each.__module__}.{each.__name__}'
        for event in ('post_execute', 'post_run_cell') for each in shell.events.callbacks[event]
        if each.__module__.startswith('matplotlib')),
    'as': sorted(name for name, each in shell.display_formatter.formatters.items()
        if any('Figure' in str(kind) for kind in each.type_printers)),
}), end='')
plt.close('all')
""",
    "streams": """
import json, os, sys
def told(number, stream):
    raw = getattr(stream.buffer, 'raw', stream.buffer)
    target = os.readlink(f'/proc/self/fd/{number}').partition(':')[0]
    return [stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering,
        stream.write_through, stream.seekable(), repr(stream.buffer), raw.name, raw.mode,
        raw.closefd, raw.fileno(), os.get_inheritable(number), target]
print(json.dumps({
    'streams': [told(*pair) for pair in enumerate([sys.__stdin__, sys.__stdout__, sys.__stderr__])],
    'replaced': [type(stream).__name__ for stream in (sys.stdin, sys.stdout, sys.stderr)],
    'null': sum(os.readlink(f'/proc/self/fd/{n}') == '/dev/null' for n in range(3)),
}), end='')
""",
    "outside": """
import json, os
pieces = open('/proc/self/cmdline', 'rb').read().split(b'\\0')
environ = sorted(open('/proc/self/environ', 'rb').read().split(b'\\0'))
print(json.dumps({
    'command': [piece.decode() for piece in pieces][:4],
    'environ': [entry.decode(errors='replace') for entry in environ],
    'exe': os.readlink('/proc/self/exe'), 'name': open('/proc/self/comm').read(),
}), end='')
""",
    "interpreter": """
import gc, json, locale, logging, site, sys, sysconfig, tempfile, threading, time, warnings
print(json.dumps({
    'gc': [gc.isenabled(), gc.get_threshold()], 'locale': locale.getlocale(),
    'encodings': [sys.getfilesystemencoding(), sys.stdout.encoding, sys.__stdout__.encoding],
    'site': [site.ENABLE_USER_SITE, site.USER_SITE, site.USER_BASE],
    'userbase': sysconfig.get_config_var('userbase'),
    'temporary': tempfile.gettempdir(), 'zone': time.tzname, 'stack': threading.stack_size(),
    'filters': [str(entry) for entry in warnings.filters],
    'root logger': [str(logging.root.level), len(logging.root.handlers)],
    'threads': sorted(thread.name.split('-')[0] for thread in threading.enumerate()),
    'hook': sys.excepthook.__qualname__, 'shadow': 'numpy' in sys.modules,
    'pandas': 'pandas' in sys.modules, 'matplotlib': 'matplotlib' in sys.modules,
}), end='')
""",
    "children": """
import json, subprocess, sys
def child(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.split()
print(json.dumps({
    'personality': child('cat', '/proc/self/personality'),
    'stack': child('sh', '-c', 'ulimit -s'), 'seed': child('sh', '-c', 'echo $PYTHONHASHSEED'),
    'malloc': child('sh', '-c', 'env | grep -c MALLOC_'),
    'hashes differ': len({tuple(child(sys.executable, '-c', 'print(hash("a"))')) for _ in 'abcd'}),
    'flags': child(sys.executable, '-c', 'import sys; print(sys.flags.no_user_site, sys.path)'),
}), end='')
""",
    "fork": """
import json, multiprocessing, os
def work(number):
    return number * 2, os.environ.get('HOME'), os.getcwd()
with multiprocessing.get_context('fork').Pool(2) as pool:
    print(json.dumps(pool.map(work, range(3))), end='')
""",
    "spawn": """
import json, multiprocessing, os
with multiprocessing.get_context('spawn').Pool(1) as pool:
    print(json.dumps([pool.map(abs, [-1, -2]), pool.apply(os.getcwd)]), end='')
""",
    "run": """
import json, pathlib
pathlib.Path('script.py').write_text('import sys; seen = [sys.argv, __name__, __file__]')
get_ipython().run_line_magic('run', 'script.py one two')
print(json.dumps(seen), end='')
""",
    "threads": """
import json, threading
results = []
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
started = [threading.Thread(target=lambda: results.append(deep(500))) for _ in range(20)]
[thread.start() for thread in started]; [thread.join() for thread in started]
size = [row for row in open('/proc/self/limits') if 'stack' in row]
print(json.dumps([results, size]), end='')
""",
    "own modules": """
import json, pathlib, sys
pathlib.Path('seaborn_like.py').write_text('mine = True')
import seaborn_like
pathlib.Path('joblib.py').write_text('mine = True')
import importlib; importlib.invalidate_caches()
import joblib
print(json.dumps([seaborn_like.mine, joblib.mine]), end='')
for name in ('seaborn_like.py', 'joblib.py'): pathlib.Path(name).unlink()
del sys.modules['joblib']; importlib.invalidate_caches()
""",
    "numbers": """
import json, sys, numpy as np, warnings
blas = [row for row in open('/proc/self/status') if row.startswith('Threads')]
print(json.dumps({'threads': blas, 'filters': [str(entry) for entry in warnings.filters],
    'state': np.random.get_state()[0], 'pieces': 'numpy.linalg' in sys.modules,
    'spec': [np.__spec__.origin, type(np.__loader__).__name__, type(np.__spec__.loader).__name__],
    }), end='')
""",
    "frames": """
import json, sys, pandas as pd, pandas
frame = pd.DataFrame({'a': [1, 2, 3], 'b': list('xyx')}).groupby('b').sum()
import pickle; frame = pickle.loads(pickle.dumps(frame))
print(json.dumps([frame.to_csv(), 'numpy' in sys.modules, 'pandas.core.frame' in sys.modules]),
      end='')
""",
    "plots": """
import json, os, matplotlib, matplotlib.pyplot as plt
print(json.dumps([matplotlib.get_backend(), matplotlib.matplotlib_fname(),
    matplotlib.get_configdir(), matplotlib.rcParams['figure.dpi'],
    matplotlib.rcParams['lines.linewidth'],
    os.environ.get('MPLBACKEND'), plt.isinteractive(), len(plt.get_fignums())]), end='')
""",
    "learning": """
import json, os, sklearn, warnings
from sklearn.linear_model import LinearRegression
fit = LinearRegression().fit([[0], [1], [2]], [1, 3, 5])
print(json.dumps([round(float(fit.coef_[0]), 6), os.environ.get('KMP_INIT_AT_FORK'),
    [str(entry) for entry in warnings.filters if 'sklearn' in str(entry)]]), end='')
""",
}
