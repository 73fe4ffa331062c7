// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Testing

struct ExportSpecTests {
    @Test func parsesEveryForm() throws {
        #expect(try ExportSpec(parsing: "out") == ExportSpec(kind: .local, destination: .file("out")))
        #expect(try ExportSpec(parsing: "-") == ExportSpec(kind: .tar, destination: .descriptor(1)))
        #expect(try ExportSpec(parsing: "type=tar") == ExportSpec(kind: .tar, destination: .descriptor(1)))
        #expect(
            try ExportSpec(parsing: "type=local,dest=a b") == ExportSpec(kind: .local, destination: .file("a b"))
        )
        #expect(try ExportSpec(parsing: "type=cacheonly") == ExportSpec(kind: .cacheOnly))
        var spec = try ExportSpec(parsing: #"type=oci,"dest=a,b.tar",tar=false,compression=zstd,compression-level=19"#)
        #expect(spec.destination == .file("a,b.tar"))
        #expect(!spec.isArchive)
        #expect(spec.layers == LayerOptions(compression: .zstd, level: 19))
        spec = try ExportSpec(parsing: #"type=registry,"name=app,example.com/a:1",annotation.a.B=c=d"#)
        #expect(spec.kind == .image)
        #expect(spec.push)
        #expect(spec.names.map(\.familiar) == ["app", "example.com/a:1"])
        #expect(spec.annotations == ["a.B": "c=d"])
        spec = try ExportSpec(parsing: "type=image,name=a,push-by-digest=true,force-compression=1,oci-mediatypes=false")
        #expect(spec.push && spec.pushByDigest && spec.layers.force && !spec.layers.ociMediaTypes)
    }

    @Test(arguments: [
        ("type=image,rewrite-timestamp=true", ExportSpec.EpochChoice.ofBuild, Int64?(7), true),
        ("type=oci,source-date-epoch=12", .at(12), 12, false),
        ("type=docker,rewrite-timestamp=1,source-date-epoch=", .none, nil, true),
        ("type=tar,source-date-epoch=0", .at(0), 0, false),
        ("type=local,dest=out,source-date-epoch=253402300799", .at(253_402_300_799), 253_402_300_799, false),
    ])
    func epochs(_ text: String, _ choice: ExportSpec.EpochChoice, _ ofBuildWithSeven: Int64?, _ rewrites: Bool) throws {
        let spec = try ExportSpec(parsing: text)
        #expect(spec.epoch == choice)
        #expect(spec.epoch.seconds(build: 7) == ofBuildWithSeven)
        #expect(spec.rewritesTimestamps == rewrites)
    }

    @Test(arguments: [
        ("", "needs a value"),
        ("type=dokcer", "did you mean \"docker\"?"),
        ("type=oci,dst=x", "did you mean \"dest\"?"),
        ("type=oci,compresion=gzip", "did you mean \"compression\"?"),
        ("type=local", "needs dest"),
        ("type=cacheonly,dest=out", "takes no key"),
        ("type=local,dest=-", "standard output"),
        ("type=oci,tar=false", "standard output"),
        ("type=oci,tar=maybe", "neither true nor false"),
        ("type=oci,compression=lz4", "unknown compression"),
        ("type=oci,compression=estargz", "not supported yet"),
        ("type=oci,compression-level=10", "levels 0 to 9"),
        ("type=oci,compression=uncompressed,compression-level=1", "not possible"),
        ("type=oci,compression=zstd,oci-mediatypes=false", "oci-mediatypes=true"),
        ("type=image,rewrite-timestamp=maybe", "neither true nor false"),
        ("type=tar,rewrite-timestamp=true", "unknown key of type=tar"),
        ("type=oci,source-date-epoch=soon", "invalid source-date-epoch: soon"),
        ("type=oci,source-date-epoch=-1", "invalid source-date-epoch: -1"),
        ("type=oci,source-date-epoch=253402300800", "invalid source-date-epoch"),
        ("type=image,annotation-index.a=b", "not supported yet"),
        ("type=tar,compression=gzip", "unknown key of type=tar"),
        ("dest=x", "needs a type"),
        ("type=oci,\"dest=x", "quote"),
        ("type=oci,x", "not key=value"),
        ("type=image,name=UPPER", "lowercase"),
    ])
    func refusesWithAReason(_ text: String, _ message: String) {
        #expect {
            _ = try ExportSpec(parsing: text)
        } throws: {
            "\($0)".contains(message)
        }
    }

    @Test(arguments: [
        (0, 0, "1970-01-01T00:00:00Z"), (951_782_400, 0, "2000-02-29T00:00:00Z"),
        (1_000_000_000, 120_000_000, "2001-09-09T01:46:40.12Z"), (-1, 0, "1969-12-31T23:59:59Z"),
        (253_402_300_799, 1, "9999-12-31T23:59:59.000000001Z"),
    ])
    func printsTimes(_ seconds: Int64, _ nanoseconds: UInt32, _ text: String) {
        #expect(FileTime(seconds: seconds, nanoseconds: nanoseconds).rfc3339 == text)
    }
}
