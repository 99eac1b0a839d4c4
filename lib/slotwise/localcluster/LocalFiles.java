package slotwise;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/** Local files as Hadoop sees them, but for permissions, which Java sets itself. */
public class LocalFiles extends DelegateToFileSystem {
    public LocalFiles(URI uri, Configuration configuration) throws IOException, URISyntaxException {
        super(uri, new LocalFileSystem(), configuration, "file", false);
    }
}

class LocalFileSystem extends RawLocalFileSystem {
    public void setPermission(Path path, FsPermission permission) throws IOException {
        FsPermission plain = new FsPermission((short) (permission.toShort() & 0777));
        Files.setPosixFilePermissions(pathToFile(path).toPath(), PosixFilePermissions.fromString(plain.toString()));
    }
}
