#!/usr/bin/env python3
"""Runs conf/nginx.conf over three backends, in the foreground.

SIGINT, SIGTERM, SIGQUIT and SIGHUP finish the requests in flight, then stop
everything.  Settings come from the environment (see the Makefile): NGINX_BIN,
MODULES (the directory with the modules), PORT, ADMIN_PORT, BACKEND_PORT (the
first of three), RATE, CAPACITY.  What the demo writes lies in DEMO_DIR
(build/demo) and outlives it.
"""

import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DIR = Path(os.environ.get("DEMO_DIR") or TOP / "build" / "demo").resolve()
BACKENDS = 3
START = 20.0        # seconds that a process may take to listen
STOP = 45.0         # seconds that a graceful stop may take
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Something that the user has to know, in one line."""


def setting(name, default, pattern):
    """An environment variable that must look as the pattern says."""
    value = os.environ.get(name) or default
    if not re.fullmatch(pattern, value):
        raise Failed(f'{name} is "{value}", it must look like {default}')
    return value


def port_setting(name, default):
    """A port number from the environment."""
    port = int(setting(name, default, r"\d{1,5}"))
    if not 1 <= port <= 65535:
        raise Failed(f"{name} is {port}, it must be from 1 to 65535")
    return port


def can_listen(family, address, port):
    """None, or the errno that says why one cannot listen there."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            sock.listen(1)
    except OSError as error:
        return error.errno
    return None


def check_port(address, port, what, hint):
    """Raises Failed when a port cannot be had."""
    error = can_listen(socket.AF_INET, address, port)
    if error is None and address == "0.0.0.0" and has_ipv6():
        error = can_listen(socket.AF_INET6, "::", port)
    if error == errno.EADDRINUSE:
        raise Failed(f"port {port}, for {what}, is in use{hint}")
    if error is not None:
        raise Failed(f"port {port}, for {what}: {os.strerror(error)}{hint}")


def has_ipv6():
    """Whether one can listen on an IPv6 address here."""
    return can_listen(socket.AF_INET6, "::", 0) is None


def answers(port):
    """Whether something takes connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def replace(text, old, new):
    """Puts new for old in the configuration, where it must be."""
    if old not in text:
        raise Failed(f'conf/nginx.conf: no "{old}"')
    return text.replace(old, new)


def render(port, admin_port, backend_ports, rate, capacity):
    """The configuration, with the ports and limits asked for."""
    text = (TOP / "conf" / "nginx.conf").read_text(encoding="utf-8")

    if not has_ipv6():
        text = re.sub(r"(?m)^.*listen \[::\].*\n", "", text)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 16384:
        text = replace(text, "nofile 16384", f"nofile {hard}")

    text = replace(text, "127.0.0.1:8081", f"127.0.0.1:{admin_port}")
    for number, backend_port in enumerate(backend_ports, 9001):
        text = replace(text, f"server 127.0.0.1:{number};",
                       f"server 127.0.0.1:{backend_port};")
    text = replace(text, "listen 8080", f"listen {port}")
    text = text.replace("[::]:8080", f"[::]:{port}")
    text = replace(text, "rate=10r/s", f"rate={rate}")
    return replace(text, "capacity=20", f"capacity={capacity}")


class Demo:
    """The processes of the demo."""

    def __init__(self):
        self.port = port_setting("PORT", "8080")
        self.admin_port = port_setting("ADMIN_PORT", "8081")
        first = port_setting("BACKEND_PORT", "9001")
        self.backend_ports = range(first, first + BACKENDS)
        self.rate = setting("RATE", "10r/s", r"[\d.]+r/[smhd]")
        self.capacity = setting("CAPACITY", "20", r"\d+")
        self.nginx_path = os.environ.get("NGINX_BIN") or "/usr/sbin/nginx"
        self.modules = Path(os.environ.get("MODULES")
                            or TOP / "build" / "release").resolve()
        self.nginx = None
        self.backends = {}
        self.signal = None
        self.lock = None
        self.make = make_process()

    def spawn(self, command, death_signal):
        """Starts a process that Ctrl-C does not reach, but our death does."""
        prctl = ctypes.CDLL(None).prctl
        parent = os.getpid()

        def prepare():
            prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                    start_new_session=True,
                                    preexec_fn=prepare)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from error

    def check_ports(self):
        """Says plainly which port is in use, before anything starts."""
        first, last = self.backend_ports[0], self.backend_ports[-1]
        ports = [self.port, self.admin_port, *self.backend_ports]
        if last > 65535:
            raise Failed(f"BACKEND_PORT is {first}, it must be from 1 to "
                         f"{65536 - BACKENDS}")
        for number in ports:
            if ports.count(number) > 1:
                raise Failed(f"port {number} is asked for twice; {first} to "
                             f"{last} are the backends'")

        check_port("0.0.0.0", self.port, "the gateway",
                   "; choose another: make demo PORT=8090")
        check_port("127.0.0.1", self.admin_port, "the admin server",
                   "; choose another: make demo ADMIN_PORT=8091")
        for number in self.backend_ports:
            check_port("127.0.0.1", number, "a backend",
                       "; choose others: make demo BACKEND_PORT=9101")

    def lay_out(self):
        """Makes build/demo, keeping what an earlier demo has left there."""
        try:
            (DIR / "temp").mkdir(parents=True, exist_ok=True)
            self.lock = open(DIR / "lock", "w", encoding="utf-8")
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(f"another demo runs in {DIR}; choose another place: "
                         "make demo DEMO_DIR=build/demo2") from error
        except OSError as error:
            raise Failed(f"{error.filename or DIR}: {error.strerror}; is it "
                         "another user's? make clean, or make demo "
                         "DEMO_DIR=/tmp/demo") from error

        for name, target in (("modules", self.modules),
                             ("dashboard", TOP / "conf" / "dashboard"),
                             ("snippets", TOP / "conf" / "snippets")):
            link = DIR / name
            if link.is_symlink() or link.exists():
                link.unlink()
            link.symlink_to(target)

        (DIR / "nginx.conf").write_text(
            render(self.port, self.admin_port, self.backend_ports, self.rate,
                   self.capacity), encoding="utf-8")

    def await_port(self, process, port, what):
        """Waits until a process that was just started takes connections."""
        end = time.monotonic() + START
        while not answers(port):
            if process.poll() is not None:
                raise Failed(f"{what} has not started")
            if time.monotonic() > end:
                raise Failed(f"{what} does not answer on port {port}")
            if self.told_to_stop():
                return
            time.sleep(0.02)

    def start(self):
        """Starts the backends, then nginx; returns when they answer."""
        for number, port in enumerate(self.backend_ports, 1):
            self.backends[port] = self.spawn(
                [sys.executable, str(TOP / "docker" / "backend.py"),
                 f"--port={port}", f"--name=backend-{number}"],
                signal.SIGTERM)
        for port, process in self.backends.items():
            self.await_port(process, port, f"the backend on port {port}")

        # workers stay who we are: under another user they could not enter,
        # for instance, root's home, if the project lies there

        directives = "daemon off;"
        if os.geteuid() == 0:
            directives += " user root;"

        self.nginx = self.spawn(
            [self.nginx_path, "-e", "stderr", "-p", f"{DIR}/",
             "-c", str(DIR / "nginx.conf"), "-g", directives],
            signal.SIGQUIT)
        self.await_port(self.nginx, self.port, "nginx")
        self.await_port(self.nginx, self.admin_port, "nginx")

    def say_what_to_try(self):
        """Six lines."""
        at = f"localhost:{self.port}"
        pid = self.backends[self.backend_ports[1]].pid
        print(f"""
  http://localhost:{self.admin_port}/             who is limited, which server is out
  curl -i {at}/          the three backends answer in turn (rate {self.rate})
  for i in $(seq 40); do curl -s {at}/; done          429 when {self.capacity} tokens are used
  kill {pid}                        ends a backend: no request fails, and it is told here
  ab -n 5000 -c 1000 http://{at}/    after make demo RATE=100000r/s CAPACITY=100000
  curl {at}/slow, and Ctrl-C here    the request is finished before everything stops
""", flush=True)

    def told_to_stop(self):
        """Whether a signal came, to us or, for our part unseen, to make."""
        if self.signal is None and self.make and make_is_stopping(*self.make):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def run(self):
        """The demo; returns the exit code."""
        def remember(number, _frame):
            self.signal = self.signal or number

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT,
                       signal.SIGHUP):
            signal.signal(number, remember)

        self.check_ports()
        self.lay_out()

        try:
            self.start()
            if not self.told_to_stop():
                self.say_what_to_try()
            return self.watch()
        finally:
            self.stop()

    def watch(self):
        """Waits for a signal, or for nginx to end unasked."""
        gone = set()
        while not self.told_to_stop():
            if self.nginx.poll() is not None:
                print(f"nginx has ended (status {self.nginx.returncode})")
                return 1
            for port, process in self.backends.items():
                if port not in gone and process.poll() is not None:
                    gone.add(port)
                    print(f"the backend on port {port} has ended", flush=True)
            time.sleep(0.2)

        print("finishing the requests in flight", flush=True)
        return 0

    def stop(self):
        """nginx first: it has to finish what the backends are answering."""
        if self.nginx:
            end(self.nginx, signal.SIGQUIT)
        for process in self.backends.values():
            if process.poll() is None:
                process.terminate()
        for process in self.backends.values():
            end(process, signal.SIGTERM)


def end(process, number):
    """Stops a process; the hard way with its session, when it takes long."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# make passes SIGTERM on to what it runs, but only waits for its end when
# SIGINT or SIGQUIT is sent to it alone.  That it has taken such a signal shows
# in that it no longer catches it.

STOPPING = 1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1


def caught_signals(pid):
    """The signals for which a process has handlers, as a bit mask."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"(?m)^SigCgt:\s*([0-9a-f]+)$", status)
    return int(found.group(1), 16) & STOPPING if found else 0


def make_process():
    """(pid, signals it catches) of the make that runs us, or None."""
    pid = os.getppid()
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return (pid, caught_signals(pid)) if name in ("make", "gmake") else None


def make_is_stopping(pid, caught):
    """Whether make is gone, or only waits for us."""
    return os.getppid() != pid or caught_signals(pid) != caught


def main():
    """Runs the demo."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    try:
        sys.exit(Demo().run())
    except Failed as failed:
        sys.exit(f"demo: {failed}")


if __name__ == "__main__":
    main()
