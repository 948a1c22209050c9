/* One live connection for all tabs of a browser: browsers allow six HTTP/1.1 connections a host, and eight tabs are common
   at an incident. Runs as a SharedWorker; passes each event's text on, unread. */
"use strict";

const ports = new Set();
let source = null;

function open() {
  source = new EventSource("/api/stream");
  source.onmessage = (event) => {
    for (const port of ports) port.postMessage(event.data);
  };
  source.onerror = () => {
    // A dropped connection is retried by the browser; a refused one (a full or restarting server) is not.
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(() => {
        if (source === null && ports.size) open();
      }, 2000);
    }
  };
}

onconnect = (connection) => {
  const port = connection.ports[0];
  ports.add(port);
  port.onmessage = (event) => {
    if (event.data !== "bye") return;
    ports.delete(port);
    if (ports.size === 0 && source) {
      source.close();
      source = null;
    }
  };
  if (source === null) open();
};
