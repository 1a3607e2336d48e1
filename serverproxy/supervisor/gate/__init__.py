"""Keeps other users of the machine out of an application's TCP ports.

A port of the loopback interface is open to every user of the machine, and an application seldom
asks who connects. The gate does, in its place: a seccomp filter hands `accept` and `accept4` of the
application to a process of ours (seccomp_unotify(2)), which accepts, asks the kernel whose the
connection is (sock_diag(7)), closes what is not our user's, and passes the rest on. It needs no
privilege, and the application is any program, whatever its language.

`decision`: when it is wanted. `spawn`: the server's side. `process`: the gate itself, which is the
first process of the application. `keeper`: its work. `kernel`, `peers`, `program`: its tools.
"""
