// Runs executions of state machines in aws-local-stepfunctions, an independent interpreter. The packages are in
// the working directory.
//
// Standard input: first one line, {"executions": [{"name", "run_id", "definition", "validate", "input"}]}, then one line for each answered
// task, {"id", "output"} or {"id", "error", "cause"}. A task without an answer hangs.
// Standard output: {"id", "execution", "state", "input"} for each task, and {"ended", "path", "error"?, "cause"?,
// "output"?} for each execution that ended. Retries start at once.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

Promise.withResolvers ??= function () {  // the interpreter expects Node.js 22
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const { StateMachine } = createRequire(process.cwd() + '/')('aws-local-stepfunctions');

const tasks = new Map();
const write = (line) => process.stdout.write(JSON.stringify(line) + '\n');

class TaskError extends Error {
  constructor({ error, cause }) {
    super(cause);
    this.name = error;
  }
}

function asks(execution, state) {
  return (input) => {
    const task = Promise.withResolvers();
    const id = tasks.size;
    tasks.set(id, task);
    write({ id, execution, state, input });
    return task.promise;
  };
}

async function run({ name, run_id, definition, validate, input }) {
  const states = Object.entries(definition.States).filter(([, state]) => state.Type === 'Task').map(([state]) => state);
  const machine = new StateMachine(definition, { validationOptions: { checkArn: false, noValidate: !validate } });
  const execution = machine.run(input, {
    context: { Execution: { Id: `arn:${run_id}`, Name: run_id, Input: input } },
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(states.map((state) => [state, asks(name, state)])),
      retryIntervalOverrides: Object.fromEntries(states.map((state) => [state, 0])),
    },
  });
  const path = [];
  const logged = (async () => {
    for await (const event of execution.eventLogs) {
      if (event.type === 'StateEntered') path.push(event.state.name);
    }
  })();
  try {
    const output = await execution.result;
    await logged;
    write({ ended: name, path, output });
  } catch (failed) {
    await logged;
    write({ ended: name, path, error: failed.cause?.name ?? failed.name, cause: failed.cause?.message ?? failed.message });
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { executions } = JSON.parse((await lines.next()).value);
const running = Promise.all(executions.map(run));
running.then(() => process.exit(0));
for await (const line of lines) {
  const { id, ...answer } = JSON.parse(line);
  const task = tasks.get(id);
  if ('error' in answer) task.reject(new TaskError(answer));
  else task.resolve(answer.output);
}
