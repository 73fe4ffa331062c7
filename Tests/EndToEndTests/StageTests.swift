// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import OCI
import Testing

/// Which stages are done, and when.
@Suite(.endToEnd) struct StageTests {
    private static let shared = SharedStore()

    @Test("stages that the target does not reach are not resolved and not run, and change nothing")
    func unreachable() async throws {
        let store = try await Self.shared.get()
        let needed = "FROM alpine:latest AS base\nRUN echo base > /base\n"
        let last = "FROM base\nRUN echo last > /last\n"
        let plain = try await store.build(try BuildContext(needed + last))
        let with = try BuildContext(
            needed
                + "FROM alpine:latest AS fails\nRUN false\nFROM registry.invalid/no/such:image AS missing\nRUN true\n"
                + "FROM missing AS both\nCOPY --from=fails /x /x\n" + last
        )
        let record = try await store.record(with)
        #expect(record.id == plain)
        #expect(!record.progress.steps.contains { $0.name.contains("registry.invalid") || $0.name.contains("fails") })
    }

    @Test("two independent stages run at the same time: the spans of their RUN steps overlap")
    func parallel() async throws {
        let store = try await Self.shared.get()
        let progress = try await store.record(BuildContext(Meeting.stages())).progress
        #expect(try Meeting.isHeld(progress))
    }

    @Test("a stage that two others start from runs once")
    func shared() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest AS common
            RUN date +%s%N > /stamp
            FROM common AS one
            RUN cp /stamp /one
            FROM common AS two
            RUN cp /stamp /two
            FROM alpine:latest
            COPY --from=one /one /one
            COPY --from=two /two /two
            RUN cmp /one /two && echo same
            """
        )
        let progress = try await store.record(context, ["--no-cache"]).progress
        #expect(progress.log == "same\n")
        #expect(try !progress.step("date +%s%N").isCached)
    }

    @Test("the final image has no history, config or layer of the stages that it copies from")
    func nothingOfTheKitchen() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest AS kitchen
            ENV KITCHEN_SECRET=1
            LABEL kitchen=1
            RUN echo only-in-the-kitchen > /f
            FROM scratch
            COPY --from=kitchen /f /f
            """
        )
        try await store.build(context, tag: "plate")
        let image = try await store.inspect("plate")
        #expect(image["RootFS"]?["Layers"]?.strings.count == 1)
        #expect(image["Config"]?["Labels"]?.names ?? [] == [])
        #expect(!(image["Config"]?["Env"]?.strings ?? []).contains { $0.hasPrefix("KITCHEN") })
        let history = try await store.galley("history", "--no-trunc", "plate").get().output
        #expect(!history.contains("kitchen >") && !history.contains("KITCHEN_SECRET"))
        #expect(history.split(separator: "\n").count == 2, "a title and one step: \(history)")
    }

    @Test("--target by name in any case")
    func targets() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest AS First\nENV S=1\nFROM alpine:latest AS second\nENV S=2\nFROM scratch\nCOPY no /no"
        )
        for (target, expected) in [("first", "S=1"), ("FIRST", "S=1"), ("second", "S=2")] {
            try await store.build(context, tag: "target", ["--target", target])
            #expect(try await store.inspect("target")["Config"]?["Env"]?.strings.last == expected, "\(target)")
        }
    }

    @Test("two builds of one context at the same time give the same image")
    func atTheSameTime() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nCOPY . /c\nRUN sleep 0.3; echo x > /x", ["f": "f"])
        async let first = store.record(context)
        async let second = store.record(context)
        let ids = try await [first.id, second.id]
        let third = try await store.record(context)
        #expect(ids[0] == ids[1] && !ids[0].isEmpty)
        #expect(third.progress.executed == [])
        #expect(third.id == ids[0])
    }

    @Test("galley images lists tagged images only, and a second tag of one image as a line of its own")
    func images() async throws {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        let context = try BuildContext("FROM alpine:latest AS a\nRUN touch /a\nFROM alpine:latest\nCOPY --from=a /a /a")
        try await store.build(context)
        try await store.build(context, tag: "example.com/team/app:1.0", ["-t", "app"])
        let rows = try await store.galley("images").get().output.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(rows.first?.joined(separator: " ").hasPrefix("REPOSITORY TAG IMAGE ID CREATED SIZE") == true)
        let names = rows.dropFirst().map { "\($0[0]):\($0[1])" }.sorted()
        #expect(names == ["alpine:latest", "app:latest", "example.com/team/app:1.0"])
        #expect(Set(rows.dropFirst().filter { !$0[0].hasPrefix("alpine") }.map { $0[2] }).count == 1)
    }
}
