"""A QMP client for the tests beside this file."""
import json, socket, time


class Client:
    def __init__(self, path, check, negotiate=True):
        self.check = check
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(30)
        self.s.connect(path)
        self.buf = b""
        self.events = []
        check("greeting", "QMP" in self.message())
        if negotiate:
            check("negotiation", self.ask("qmp_capabilities") == {})

    def message(self):
        while b"\n" not in self.buf:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)

    def note(self, m):
        self.check("timestamp", abs(m["timestamp"]["seconds"] - time.time()) < 100)
        self.events.append((m["event"], m.get("data")))

    def answer(self):
        while True:
            m = self.message()
            if "event" not in m:
                return m
            self.note(m)

    def full(self, name, **arguments):
        self.s.sendall(json.dumps({"execute": name, "arguments": arguments, "id": [name, {"a": 1}]}).encode())
        m = self.answer()
        self.check("id of " + name, m["id"] == [name, {"a": 1}])
        return m

    def ask(self, name, **arguments):
        m = self.full(name, **arguments)
        return m.get("return", m.get("error"))

    def wait(self, event):
        """The data of the next EVENT; those before it are forgotten."""
        while True:
            while self.events:
                name, data = self.events.pop(0)
                if name == event:
                    return data
            m = self.message()
            self.check("only events", "event" in m)
            self.note(m)
