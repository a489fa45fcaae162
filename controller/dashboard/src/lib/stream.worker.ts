import { Stream, type Told } from './stream';

// Each tab has a token of its own, or none; the stream is read with the newest that a tab still open has.
const tabs = new Map<MessagePort, string>();
const token = () => [...tabs.values()].filter(Boolean).at(-1) ?? '';
const stream = new Stream((told: Told) => {
  for (const port of tabs.keys()) port.postMessage(told);
});

(self as unknown as SharedWorkerGlobalScope).onconnect = (connected) => {
  const port = connected.ports[0];
  port.onmessage = ({ data }) => {
    tabs.delete(port);
    if (data === 'bye') {
      if (tabs.size) stream.use(token());
      return;
    }
    const [host, own] = data as ['node' | 'launcher', string];
    tabs.set(port, own);
    stream.start(host, token());
  };
};
