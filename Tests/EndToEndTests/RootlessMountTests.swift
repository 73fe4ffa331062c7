// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// The mounts of RUN and the newer forms of COPY, as an ordinary user with subordinate ids.
@Suite(.enabled(if: RootlessUser.isPossible, "needs root, useradd, newuidmap and setpriv"))
struct RootlessMountTests {
    @Test func mountsAndCopies() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let context = try BuildContext(
            """
            FROM alpine AS made
            RUN mkdir /o && echo 1 > /o/f && chown 5:6 /o/f && chmod 4750 /o/f
            FROM alpine
            RUN --mount=type=bind,source=d,target=/m cat /m/f && ! touch /m/x 2> /dev/null
            RUN --mount=type=bind,source=d,target=/m,rw touch /m/x && ls /m
            RUN --mount=type=bind,source=d,target=/m ls /m
            RUN --mount=type=bind,from=made,source=/o,target=/m stat -c 'bound %u:%g %a' /m/f
            RUN --mount=type=cache,target=/c,uid=7,mode=0700 stat -c 'cache %u %a' /c && echo kept > /c/z
            USER 7
            RUN --mount=type=cache,target=/c,uid=7,mode=0700 touch /c/own && cat /c/z
            RUN --mount=type=secret,id=s,uid=7 stat -c 'secret %u %a' /run/secrets/s && wc -c < /run/secrets/s
            RUN --mount=type=secret,id=s,env=HIDDEN echo "${#HIDDEN} characters"
            USER 0
            RUN --mount=type=tmpfs,target=/t touch /t/f && ls /t
            COPY --link --chown=3:4 d /linked
            COPY --parents d/f /p/
            RUN stat -c '%n %u:%g' /linked/f /p/d/f && ls -d /m /c /t /run/secrets 2> /dev/null || echo none left
            RUN <<SCRIPT
            #!/bin/sh
            echo "script of $(id -u)"
            SCRIPT
            """,
            ["d/f": "of the context\n", "secret": "0123456789"]
        )
        try context.directory.shell("chmod -R a+rX .")
        let result = try await user.galley(
            "build",
            "--progress",
            "rawjson",
            "--secret",
            "id=s,src=\(context.path)/secret",
            context.path
        ).get()
        let log = try ProgressRecord(parsing: result.errorBytes).log
        #expect(
            log == """
                of the context
                f
                x
                f
                bound 5:6 4750
                cache 7 700
                kept
                secret 7 400
                10
                10 characters
                f
                /linked/f 3:4
                /p/d/f 0:0
                none left
                script of 0

                """
        )
        try expectNothingLeft(user.leftovers())
    }
}
