import { Stream, type Told } from './stream';

const ports = new Set<MessagePort>();
const stream = new Stream((told: Told) => {
  for (const port of ports) port.postMessage(told);
});

(self as unknown as SharedWorkerGlobalScope).onconnect = (connected) => {
  const port = connected.ports[0];
  port.onmessage = ({ data }) => {
    if (data === 'bye') {
      ports.delete(port);
      return;
    }
    ports.add(port);
    stream.start(...(data as ['node' | 'launcher', string?]));
  };
};
