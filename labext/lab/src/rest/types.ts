/**
 * The JSON of the server half, under `{base_url}samepage/api/`. Sizes are bytes, times are seconds
 * since the epoch, and `null` means "not known" — never zero.
 */

export type MemorySource = 'cgroup-v2' | 'cgroup-v1' | 'processes' | 'unavailable';

export interface IServerMemory {
  readonly used_bytes: number | null;
  readonly limit_bytes: number | null;
  readonly source: MemorySource;
  readonly host_total_bytes: number | null;
  readonly message: string | null;
}

export interface IProblem {
  readonly code: string;
  readonly message: string;
  readonly fix: string | null;
}

export interface IKsm {
  readonly supported: boolean;
  readonly mode: 'tune' | 'observe' | 'off';
  readonly running: boolean | null;
  readonly phase: string;
  readonly why: string;
  readonly saved_bytes: number | null;
  readonly profit_bytes: number | null;
  readonly ksmd_cpu_ratio: number | null;
  readonly opted_in_processes: number | null;
  readonly stale: boolean;
  readonly problem: IProblem | null;
}

export interface IGpu {
  readonly uuid: string;
  readonly index: number;
  readonly name: string;
  readonly memory_used_bytes: number | null;
  readonly memory_total_bytes: number | null;
  readonly memory_free_bytes: number | null;
  readonly busy_percent: number | null;
  readonly processes: number | null;
}

export interface IGpus {
  readonly state: 'ok' | 'no_driver' | 'error' | 'stale' | 'starting';
  readonly message: string;
  readonly age_seconds: number | null;
  readonly devices: readonly IGpu[];
}

export interface INode {
  readonly version: string;
  readonly node: string;
  readonly time: number;
  readonly interval_seconds: number;
  readonly ksm: IKsm;
  readonly memory: {
    readonly total_bytes: number;
    readonly available_bytes: number;
  };
  readonly gpus: IGpus;
}

export interface IHistoryPoint {
  readonly time: number;
  readonly saved_bytes: number | null;
  readonly available_bytes: number | null;
  readonly ksmd_cpu_ratio: number | null;
}

export interface IHistory {
  readonly interval_seconds: number;
  readonly points: readonly IHistoryPoint[];
}

export interface IAgent {
  readonly state: 'ok' | 'absent' | 'error' | 'off';
  readonly message: string;
  readonly fix: string | null;
}

export interface IFeature {
  readonly name: 'courses' | 'applications' | 'kernels' | 'node';
  readonly state: 'ok' | 'failed' | 'off';
  readonly message: string;
}

/** A kernel of this server that shares little memory with the others of its image. */
export interface IKernelNote {
  readonly kernel_id: string;
  /** Its notebook; null without one. */
  readonly path: string | null;
  /** `unsuited`: it was started as stock, because of what the user has set up. */
  readonly state: 'drifted' | 'unsuited';
  readonly cause: string;
  /** The folder, variable or package; for `unsuited` the reason. */
  readonly name: string | null;
}

export interface IServerStatus {
  readonly memory: IServerMemory;
  readonly agent: IAgent;
  readonly node: INode | null;
  readonly history: IHistory | null;
  readonly kernels: readonly IKernelNote[];
  readonly features: readonly IFeature[];
}

/** A value with its status: only `ok` and `stale` ones have one. */
export interface IReading<T> {
  readonly value: T | null;
  readonly status: 'ok' | 'unknown' | 'unsupported' | 'stale';
  readonly age_seconds?: number | null;
  readonly why?: string | null;
}

/** A GPU, or an instance of one in MIG mode. */
export interface IMyGpu {
  readonly uuid: string;
  readonly index: number;
  readonly kind: 'gpu' | 'mig';
  readonly name: IReading<string>;
  readonly memory_total_bytes: IReading<number>;
  readonly memory_used_bytes: IReading<number>;
  readonly memory_free_bytes: IReading<number>;
  /** It uses the memory of the host. */
  readonly unified_memory: IReading<boolean>;
  /** Ratio of the last minute. */
  readonly busy_1m: IReading<number>;
  /** Pods, containers or users on it, this one included. */
  readonly sharers: number | null;
  /** Given to this user, or used by them. */
  readonly mine: boolean;
}

/** A process of this user on a GPU. */
export interface IGpuProcess {
  readonly gpu: string;
  readonly pid: number;
  readonly inner_pid: number | null;
  /** Of a kernel of this server; null for any other program. */
  readonly kernel_id: string | null;
  readonly name: string | null;
  readonly memory_bytes: IReading<number>;
  readonly duty_1m: IReading<number>;
  readonly duty_5m: IReading<number>;
  readonly duty_15m: IReading<number>;
  readonly last_busy: IReading<number>;
}

/** Memory of this user that is held without work. */
export interface IGpuFlag {
  readonly gpu: string;
  readonly stage: 'none' | 'notice' | 'warning' | 'admin';
  readonly command: string | null;
  readonly evidence: readonly string[];
  readonly quiet_because: string | null;
  readonly held_bytes: number | null;
  readonly idle_seconds: number | null;
  readonly kernel_ids: readonly string[];
  /** The student put the reminder off until then. */
  readonly snoozed_until: number | null;
}

/** A kernel of this server that is on a GPU. */
export interface IGpuKernel {
  readonly id: string;
  /** Of its notebook, relative to the server's root folder; null without one. */
  readonly path: string | null;
  readonly kind: string | null;
  readonly execution_state: string | null;
}

export interface IMyGpus {
  readonly state:
    'ok' | 'no_driver' | 'error' | 'stale' | 'starting' | 'off' | 'absent' | 'not_told';
  readonly message: string;
  readonly fix: string | null;
  readonly age_seconds: number | null;
  readonly time: number;
  /** Why nothing is known of this user's processes; null when something is. */
  readonly why: string | null;
  readonly gpus: readonly IMyGpu[];
  readonly processes: readonly IGpuProcess[];
  readonly flags: readonly IGpuFlag[];
  readonly kernels: readonly IGpuKernel[];
}

export interface ISnoozed {
  readonly gpu: string;
  /** Null: the reminder is no longer put off. */
  readonly until: number | null;
}

export type AppState = 'stopped' | 'starting' | 'ready' | 'idle' | 'stopping' | 'failed';

export interface IAppFailure {
  readonly code: string;
  readonly message: string;
  readonly fix: string | null;
  readonly exit_code: number | null;
  /** Such as `SIGKILL`. */
  readonly signal: string | null;
  /** Until a retry is allowed; 0 when it is now. */
  readonly retry_seconds: number;
  /** The last lines the application wrote. */
  readonly log_tail: readonly string[];
}

export interface IApp {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly icon_svg: string | null;
  /** Relative to the server's base URL, such as `openrefine/`. */
  readonly path: string;
  readonly new_browser_tab: boolean;
  readonly available: boolean;
  readonly reason: string | null;
  readonly fix: string | null;
  readonly rank: number;
  readonly version: string | null;
  /** False for one that stock jupyter-server-proxy runs: the rest below is null then. */
  readonly managed: boolean;
  /** Not one of ours, but an entry that another package or the operator has added. */
  readonly third_party: boolean;
  /** Whether it has a card in the launcher. */
  readonly launcher: boolean;
  /** A picture, relative to the server's base URL, for one that has no `icon_svg`. */
  readonly icon_url?: string | null;
  readonly state: AppState | null;
  /** What a state is busy with, in the server's words. */
  readonly phase: string | null;
  /** Of the last stop, such as `idle`. */
  readonly why: string | null;
  /** Grows with each change of the state. */
  readonly revision: number | null;
  /** Since the start that is under way began. */
  readonly starting_seconds: number | null;
  readonly uptime_seconds: number | null;
  readonly idle_seconds: number | null;
  /** How long this start took. */
  readonly ready_seconds: number | null;
  /** How long earlier starts took. */
  readonly usual_ready_seconds: number | null;
  readonly memory_bytes: number | null;
  readonly failure: IAppFailure | null;
}

export interface IAppLog {
  readonly lines: readonly string[];
}

export interface IOpened {
  /** The page that shows it, relative to the server's base URL. */
  readonly url: string;
  /** What could be done: `folder` when it was started there, `app` when it ran already. */
  readonly opened: 'file' | 'folder' | 'app';
  /** A sentence for people, such as that the file is shown later. */
  readonly note: string | null;
}

export interface IApps {
  readonly apps: readonly IApp[];
}

export type CourseState = 'waiting' | 'pulling' | 'up_to_date' | 'offline' | 'failed';

export type ChangeKind =
  'new' | 'updated' | 'merged' | 'restored' | 'deleted' | 'renamed' | 'kept_yours';

export interface ICourseChange {
  /** Relative to the course's folder. */
  readonly path: string;
  readonly kind: ChangeKind;
}

export interface ICourse {
  readonly id: string;
  readonly title: string;
  readonly url: string;
  readonly branch: string | null;
  /** Relative to the server's root folder; null when it lies outside. */
  readonly target: string | null;
  readonly state: CourseState;
  readonly message: string;
  readonly fix: string | null;
  readonly progress: {
    readonly phase: string;
    readonly percent: number | null;
  } | null;
  readonly last_pull: number | null;
  readonly last_change: number | null;
  readonly changes: readonly ICourseChange[];
  readonly changes_truncated: boolean;
  /** Files whose update waits, as they are being edited; relative to the course's folder. */
  readonly waiting: readonly string[];
}

/** A file that a pull touched. */
export interface INewsFile extends ICourseChange {
  readonly seen: boolean;
  /** The course's file that it stands beside; null when it is one itself. */
  readonly of: string | null;
}

/** A pull, or the student's taking of the course's version. */
export interface INewsItem {
  /** For undo; null for the first delivery, which cannot be undone. */
  readonly id: string | null;
  readonly time: number;
  readonly act: 'pull' | 'take';
  readonly undone: boolean;
  readonly files: readonly INewsFile[];
  readonly files_truncated: boolean;
}

export interface INews {
  readonly unseen: number;
  /** Newest first. */
  readonly items: readonly INewsItem[];
}

export interface IVersion {
  readonly bytes: number;
  readonly blob: string | null;
  readonly text: string | null;
}

export interface ICellVersion {
  readonly type: string;
  readonly source: string;
}

export interface ICellRow {
  readonly status: 'same' | 'changed' | 'yours' | 'teachers' | 'note';
  readonly yours: ICellVersion | null;
  readonly teachers: ICellVersion | null;
  readonly base: ICellVersion | null;
}

/** The versions of a file; null where there is no such file. */
export interface IVersions {
  readonly path: string;
  readonly form: 'text' | 'notebook' | 'binary' | 'too_large' | 'link' | 'other';
  readonly yours: IVersion | null;
  readonly teachers: IVersion | null;
  readonly base: IVersion | null;
  readonly rows: readonly ICellRow[] | null;
}

export interface ITaken {
  /** What was written. */
  readonly path: string;
  /** Where the student's version is now; null when it needed no place. */
  readonly beside: string | null;
}

export interface IUndone {
  readonly paths: readonly string[];
  /** Left as they are, for they were changed since. */
  readonly kept: readonly string[];
}

export interface ICourses {
  readonly state: 'ok' | 'unconfigured' | 'failed';
  readonly message: string | null;
  readonly fix: string | null;
  readonly courses: readonly ICourse[];
}
