// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Testing

/// Files put together at random: each is refused with a reason or lowered to a sound build.
@Suite struct RandomFileTests {
    /// A small generator with a seed, so that a failure can be had again.
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    static let lines = [
        "FROM alpine AS a", "FROM alpine", "FROM scratch AS b", "FROM a", "FROM b AS c", "FROM empty AS d", "FROM $G",
        "FROM nowhere", "FROM --platform=$BUILDPLATFORM golang:1.21-alpine AS go",
        "ARG G=alpine", "ARG V=1 W", "ARG V", "ENV V=$V-x W=${W:-y}", "ENV X 1 2", "LABEL l=$V",
        "RUN x $V", "RUN [\"x\"]", "RUN <<E\nbody $V\nE", "RUN --network=none y",
        "COPY . .", "COPY a b c/", "COPY --from=a /x /", "COPY --from=0 /x /", "COPY --from=1 / /", "COPY --from=c / .",
        "COPY --from=alpine /x $V/", "COPY ../x /", "COPY --chown=$V:$V a /", "COPY <<E /e\n$V\nE", "ADD t.tar /",
        "WORKDIR w/$V", "WORKDIR /", "USER $V", "EXPOSE $V 80-82/udp", "VOLUME /$V", "STOPSIGNAL $V",
        "SHELL [\"/sh\"]", "CMD x", "CMD []", "ENTRYPOINT [\"e\"]", "HEALTHCHECK NONE", "ONBUILD RUN o $V",
        "ONBUILD COPY --from=a /o /", "MAINTAINER m", "USER ${N:?none}", "COPY --link a b",
        "COPY --link --from=a x y", "COPY --parents a/./$V c/", "COPY --exclude=*.o --chmod=u+x . /e",
        "ADD https://x.org/$V /w",
        "ADD --link https://x.org/r.git#$V:s /r", "ADD --checksum=$V git@x.org:r /g", "RUN <<E\n#!/bin/sh\nE",
        "RUN --mount=type=cache,target=$V,from=a y", "RUN --mount=target=/m,source=$V,rw z",
        "RUN --mount=from=0,target=/n n",
        "RUN --mount=type=secret,id=s,env=V --mount=type=ssh $V", "RUN --mount=type=tmpfs,target=/,size=1 t",
        "RUN --mount=from=c,target=/q --mount=from=alpine,target=/q q", "ARG SOURCE_DATE_EPOCH=b",
        "ONBUILD COPY --link p q",
        "ONBUILD RUN --mount=from=a,target=/o o",
    ]

    @Test func anythingGoesOrIsExplained() async throws {
        var refused = 0
        var built = 0
        for seed in 0..<1500 {
            var generator = Generator(state: UInt64(seed))
            var text = "FROM alpine AS a\n"
            for _ in 0..<Int.random(in: 0...9, using: &generator) {
                text += (Self.lines.randomElement(using: &generator) ?? "") + "\n"
            }
            do {
                var request = testRequest()
                if seed.isMultiple(of: 3) {
                    request.namedContexts = ["a": .local(name: "n", ignorePatterns: []), "golang": .stage("c")]
                }
                if seed.isMultiple(of: 5) {
                    request.namedContexts["c"] = .image(Reference(domain: "docker.io", path: "library/empty"))
                }
                check(try await lowered(text, request), text)
                built += 1
            } catch let error as DockerfileDiagnostics {
                #expect(!error.diagnostics.isEmpty, "\(text)")
                #expect(!error.render().isEmpty)
                refused += 1
            } catch let error as ImageResolutionError {
                #expect(standardImages[error.reference.familiar] == nil)
                refused += 1
            }
        }
        #expect(built > 100 && refused > 100, "\(built) built, \(refused) refused")
    }

    private func check(_ build: LoweredBuild, _ text: String) {
        let own = build.ownHistory
        #expect(own.filter { !$0.hasPrefix("~") }.count == build.layerVertices.count, "\(text)")
        #expect(build.result == build.layerVertices.last || build.layerVertices.isEmpty, "\(text)")
        #expect((build.result == nil) == (build.layerVertices.isEmpty && build.config.diffIDs.isEmpty), "\(text)")
        #expect(build.config.diffIDs == build.base?.config.diffIDs ?? [], "\(text)")
        if let result = build.result {
            let needed = Set(build.graph.reachable(from: [result]).map(\.id))
            for layer in build.layerVertices { #expect(needed.contains(layer), "\(text)") }
        }
        for vertex in build.vertices {
            if case .exec(let op) = vertex.op { check(op, vertex, text) }
            guard case .file(let op) = vertex.op else { continue }
            for case .copy(let copy) in op.actions {
                #expect(vertex.inputs.indices.contains(copy.input), "\(text)")
                #expect(!op.hasBase || copy.input > 0, "\(text)")
                #expect(copy.source.hasPrefix("/") && !copy.source.contains(".."), "\(text)")
                #expect(copy.destination.hasPrefix("/") && !copy.destination.contains(".."), "\(text)")
            }
        }
    }

    private func check(_ op: ExecOp, _ vertex: BuildVertex, _ text: String) {
        for mount in op.mounts {
            #expect(mount.target.map { $0.hasPrefix("/") && $0 != "/" } ?? true, "\(text)")
            var input: Int?
            if case .bind(let number, _) = mount.source { input = number }
            if case .cache(let cache) = mount.source { input = cache.seed?.input }
            if let input {
                #expect(vertex.inputs.indices.contains(input) && (op.emptyRoot || input > 0), "\(text)")
            }
        }
    }
}
