package Test::Nginx::Server;

# The nginx that a Test::Nginx suite talks to: its directory, its
# configuration, its start and stop, its logs.  Settings come from the same
# environment variables as with the real Test::Nginx; without them, a free
# port and a directory of its own let several suites run at once.

use v5.28;
use warnings;

use Cwd qw(getcwd);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use Time::HiRes qw(sleep time);


sub new
{
    my ($class) = @_;

    my $port = $ENV{TEST_NGINX_SERVER_PORT} || $ENV{TEST_NGINX_PORT};
    $port = free_port() if !$port || $ENV{TEST_NGINX_RANDOMIZE};

    my $root = $ENV{TEST_NGINX_SERVROOT};
    $root = getcwd() . "/t/servroot_$port"
        if !$root || $ENV{TEST_NGINX_RANDOMIZE};

    $ENV{TEST_NGINX_SERVER_ROOT} = $root;

    # END must come by when we are told to stop

    $SIG{$_} ||= sub { exit 130 } for qw(INT TERM HUP);

    return bless {
        owner  => $$,
        binary => $ENV{TEST_NGINX_BINARY} || 'nginx',
        root   => $root,
        ports  => {},
        option => {
            port          => $port,
            client_port   => $ENV{TEST_NGINX_CLIENT_PORT},
            addr          => '127.0.0.1',
            name          => 'localhost',
            workers       => 1,
            connections   => 64,
            log_level     => $ENV{TEST_NGINX_LOG_LEVEL} || 'debug',
            master        => $ENV{TEST_NGINX_MASTER_PROCESS} || 'off',
            root_location => 1,
            preamble      => '',
            env           => [],
        },
    }, $class;
}


sub option
{
    my ($self, $name, @value) = @_;

    $self->{option}{$name} = $value[0] if @value;

    return $self->{option}{$name};
}


sub is_ours  { $_[0]{owner} == $$ }
sub root     { $_[0]{root} }
sub html_dir { "$_[0]{root}/html" }
sub pid_file { "$_[0]{root}/logs/nginx.pid" }
sub running  { defined $_[0]->pid }


sub version
{
    my ($self) = @_;

    return $self->{version} //= do {
        my $out = `$self->{binary} -v 2>&1`;
        $out =~ m{/(\d+\.\d+\.\d+)} ? $1 : die "no version in \"$out\"\n";
    };
}


# Below the range from which the system takes ports of clients.

sub free_port
{
    for (1 .. 1000) {
        my $port = 10000 + int(rand(22000));
        my $sock = IO::Socket::INET->new(LocalAddr => '0.0.0.0',
                                         LocalPort => $port,
                                         Listen    => 1);
        return $port if $sock;
    }

    die "no free port\n";
}


sub new_ports { $_[0]{ports} = {} }


# $TEST_NGINX_NAME stands for the environment variable of that name.

sub expand
{
    my ($self, $text) = @_;

    return $text if !defined $text;

    $text =~ s{\$(TEST_NGINX_[_A-Z0-9]+)}{
        my $name = $1;
        $name =~ /^TEST_NGINX_RAND_PORT_\d+$/
            ? $self->{ports}{$name} //= free_port()
            : $ENV{$name} // die "no environment variable $name\n";
    }eg;

    return $text;
}


# Lays out the directory of a block: html, user_files, configuration.

sub prepare
{
    my ($self, $block) = @_;

    $self->remove;
    make_path(map { "$self->{root}/$_" } qw(logs html conf));

    write_file($self->html_dir . '/index.html',
               '<html><head><title>It works!</title></head>'
               . '<body>It works!</body></html>');

    if (defined $block->post_setup_server_root) {
        eval $block->post_setup_server_root;
        die "post_setup_server_root failed: $@" if $@;
    }

    $self->write_user_files($block->user_files)
        if defined $block->user_files;
    $self->{stderr} = defined $block->suppress_stderr ? ' 2>/dev/null' : '';

    write_file("$self->{root}/conf/nginx.conf", $self->config($block));
}


sub write_user_files
{
    my ($self, $files) = @_;

    if (!ref $files) {
        my @files;

        for my $line (split /^/, $files) {
            if ($line =~ /^>>> (\S+)(?:\s+(.+))?/) {
                push @files, [$1, '', $2];
            } elsif (@files) {
                $files[-1][1] .= $line;
            }
        }

        $files = \@files;
    }

    for my $file (@$files) {
        my ($name, $body, $date) = @$file;

        my $path = $name =~ m{^/} ? $name : $self->html_dir . "/$name";
        make_path($path =~ s{/[^/]*$}{}r);
        write_file($path, $self->expand($body // ''));

        if (defined $date) {
            local $ENV{TZ} = 'GMT';
            system('touch', '-t', $date, $path) == 0
                or die "cannot set the time of $path\n";
        }
    }
}


sub config
{
    my ($self, $block) = @_;

    my $o    = $self->{option};
    my $root = $self->{root};

    my %part = map { $_ => $self->expand($block->$_) // '' }
               qw(main_config http_config config post_main_config);

    my $level  = $block->log_level // $o->{log_level};
    my $log    = $self->expand($block->error_log_file
                               // "$root/logs/error.log");
    my $name   = ($block->server_name // $o->{name}) =~ s/([\\'])/\\$1/gr;
    my $load   = join ' ', map { "load_module $_;" }
                 grep { length } split /\s+/,
                 $ENV{TEST_NGINX_LOAD_MODULES} // '';
    my $env    = join "\n", map { /\s/ ? "env '$_';" : "env $_;" }
                 @{ $o->{env} };
    my $user   = $> == 0 ? 'user root;' : '';
    my $temp   = join "\n    ",
                 map { "${_}_temp_path $root/${_}_temp;" }
                 grep { $part{http_config} !~ /\b${_}_temp_path\b/ }
                 qw(client_body proxy fastcgi scgi uwsgi);
    my $locate = $o->{root_location} ? <<~END : '';
                location / {
                    root $root/html;
                    index index.html index.htm;
                }
        END

    return <<~END;
        worker_processes $o->{workers};
        daemon on;
        master_process $o->{master};
        error_log $log $level;
        pid $root/logs/nginx.pid;
        env ASAN_OPTIONS;
        env LD_PRELOAD;
        env LD_LIBRARY_PATH;
        $env
        $user

        $load $part{main_config}

        events {
            accept_mutex off;
            worker_connections $o->{connections};
        }

        http {
            access_log $root/logs/access.log;
            $temp

            default_type text/plain;
            keepalive_timeout 68000ms;

        $part{http_config}

            server {
                listen $o->{port};
                server_name '$name';
                client_max_body_size 30M;

        $o->{preamble}
        $part{config}
        $locate
            }
        }

        $part{post_main_config}
        END
}


sub write_file
{
    my ($path, $text) = @_;

    open(my $out, '>:raw', $path) or die "cannot write $path: $!\n";
    print $out $text;
    close($out) or die "cannot write $path: $!\n";
}


sub command
{
    my ($self) = @_;

    return "$self->{binary} -e $self->{root}/logs/error.log "
           . "-p $self->{root}/ -c $self->{root}/conf/nginx.conf >/dev/null";
}


# Runs nginx with what it says on its standard error thrown away (its log has
# it as well); returns the status as wait() does.

sub run_quietly
{
    my ($self) = @_;

    my $status = system($self->command . ' 2>/dev/null');
    die "cannot run $self->{binary}: $!\n" if $status == -1;

    $self->await_pid if $status == 0;

    return $status;
}


sub start
{
    my ($self) = @_;

    # the port may be held for a moment by what ran before

    for my $try (1 .. 20) {
        if (system($self->command . $self->{stderr}) == 0) {
            $self->await_pid;
            return;
        }

        open(my $log, '<', "$self->{root}/logs/error.log") or last;
        last if !grep { /Address already in use/ } <$log>;
        sleep(0.1 * $try);
    }

    die "cannot start nginx: " . $self->command . "\n";
}


sub await_pid
{
    my ($self) = @_;

    for (1 .. 2000) {
        return if defined $self->pid;
        sleep(0.005);
    }

    die "nginx has written no " . $self->pid_file . "\n";
}


sub pid
{
    my ($self) = @_;

    open(my $in, '<', $self->pid_file) or return undef;
    my $pid = <$in>;

    return undef if !defined $pid || $pid !~ /^(\d+)$/;
    return alive($1) ? $1 : undef;
}


# One that waits for a lazy init to collect it is not alive.

sub alive
{
    my ($pid) = @_;

    open(my $in, '<', "/proc/$pid/stat") or return 0;
    my $stat = <$in> // return 0;

    return $stat !~ /\) [ZX]/;
}


sub stop
{
    my ($self) = @_;

    my $pid = $self->pid // return;

    kill('QUIT', $pid);

    my $end = time() + ($ENV{TEST_NGINX_TIMEOUT} || 10);
    while (alive($pid)) {
        if (time() > $end) {
            warn "nginx $pid does not stop, killing it\n";
            kill('KILL', $pid);
            last;
        }
        sleep(0.005);
    }

    unlink($self->pid_file);
}


# Only what we have put there: TEST_NGINX_SERVROOT may have been set in error.

sub remove
{
    my ($self) = @_;

    my $root = $self->{root};
    remove_tree(map({ "$root/$_" } qw(conf html logs cache)),
                glob("$root/*_temp $root/*_cache"));
    rmdir($root);
}


sub rewind_error_log { $_[0]{position} = 0 }


# The lines since the last call; the last ones come after the response.

sub error_log
{
    my ($self, $patience, $all) = @_;

    sleep($patience);

    open(my $in, '<', "$self->{root}/logs/error.log") or return [];
    seek($in, $self->{position} // 0, 0) if !$all;

    my @lines = <$in>;
    $self->{position} = tell($in);

    return \@lines;
}


sub access_log
{
    my ($self, $patience) = @_;

    sleep($patience);

    open(my $in, '<', "$self->{root}/logs/access.log") or return [];
    return [<$in>];
}


1;
