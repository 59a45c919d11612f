; The BIOS loader: starts a Linux kernel from a disk (512-byte sectors) or a CD (El Torito, 2048-byte sectors).
;
;   Sector 0   the boot sector: reads stage 2 and jumps there. 440 bytes, so that a disk's partition table fits behind.
;   Stage 2    reads the kernel and the initrd to where the boot protocol wants them, and starts the kernel.
;
; It knows no file system: lkit writes the place of stage 2, kernel and initrd into the fields below. Every place is
; given in 512-byte units and is a multiple of 4, so that the same code reads both kinds of sector.
;
; Protocols: El Torito 1.0 (no emulation); "BIOS Enhanced Disk Drive Services" 3.0 (INT 13h, 41h and 42h);
; ACPI 6.4 section 15.1 (INT 15h, E820h); Linux Documentation/arch/x86/boot.rst, protocol 2.10 and later.
;
; Memory while it runs:
;   07000  an E820 entry              10000  kernel: boot sector and setup code, its heap up to 1de00
;   07c00  sector 0; stack below      1e000  command line
;   08000  stage 2                    20000  bounce buffer of 32 KiB: a BIOS reads below 1 MiB only
;                                    100000  kernel: protected-mode part; initrd as high as it may stand

bits 16
cpu 386

E820_ENTRY      equ 0x7000
SECTOR0         equ 0x7c00
STAGE2          equ 0x8000
KERNEL_SEGMENT  equ 0x1000
HEAP_END        equ 0xde00              ; heap_end_ptr: end of the heap, less 0x200
COMMAND_LINE    equ 0xe000              ; offset in KERNEL_SEGMENT
BOUNCE_SEGMENT  equ 0x2000
BOUNCE_UNITS    equ 64
PROTECTED_PART  equ 0x100000

; Offsets in the kernel's setup header.
SETUP_SECTS     equ 0x1f1
VID_MODE        equ 0x1fa
HEADER_MAGIC    equ 0x202
VERSION         equ 0x206
TYPE_OF_LOADER  equ 0x210
LOADFLAGS       equ 0x211
RAMDISK_IMAGE   equ 0x218
RAMDISK_SIZE    equ 0x21c
HEAP_END_PTR    equ 0x224
CMD_LINE_PTR    equ 0x228
INITRD_ADDR_MAX equ 0x22c
PREF_ADDRESS    equ 0x258
INIT_SIZE       equ 0x260

; ------------------------------------------------------------------------------------------------------- sector 0
section sector0 start=0 vstart=SECTOR0

start:  jmp short entry
        nop
        times 90-($-$$) db 0            ; some BIOSes write into a BIOS parameter block here, as on a floppy disk

entry:  cli
        xor ax, ax
        mov ss, ax
        mov sp, start
        mov ds, ax
        mov es, ax
        sti
        cld
        jmp 0:.here                     ; some BIOSes start at 07c0:0000
.here:  mov [drive], dl
        cmp byte [unit_shift], 0
        jne .read                       ; the BIOS has just read a CD, but need not answer 41h for it
        mov ah, 0x41
        mov bx, 0x55aa
        int 0x13
        mov si, no_edd
        jc fail
.read:  mov eax, [stage2_unit]
        mov cx, [stage2_units]
        mov bx, STAGE2 >> 4
        call read
        mov si, no_stage2
        cmp dword [stage2_magic], STAGE2_MAGIC
        jne fail
        jmp 0:STAGE2

; Reads cx units (a multiple of 4, at most 127) from unit eax of the medium to bx:0. Keeps all registers.
read:   pushad
        mov [packet.segment], bx
        mov bx, cx
        mov cl, [unit_shift]
        shr eax, cl
        shr bx, cl
        mov [packet.sector], eax
        mov bp, 5                       ; tries
.try:   mov [packet.count], bx          ; a BIOS may put there how much it read
        mov si, packet
        mov dl, [drive]
        mov ah, 0x42
        int 0x13
        jnc .done
        mov dl, [drive]
        xor ah, ah                      ; reset the drive
        int 0x13
        dec bp
        jnz .try
        mov si, read_error
        jmp fail
.done:  popad
        ret

; Prints the text at si.
print:  lodsb
        or al, al
        jz .done
        mov ah, 0x0e
        mov bx, 7
        int 0x10
        jmp print
.done:  ret

; Prints the text at si and gives the next boot device a chance.
fail:   push si
        mov si, prefix
        call print
        pop si
        call print
        int 0x18
.stop:  hlt
        jmp .stop

prefix:         db 13, 10, "lkit: ", 0
no_edd:         db "the BIOS cannot read by block number", 0
no_stage2:      db "stage 2 is not where it should be", 0
read_error:     db "read error", 0

        align 4, db 0
packet:         db 16, 0                ; "disk address packet"
.count:         dw 0
.offset:        dw 0
.segment:       dw 0
.sector:        dq 0

        times 0x1a8-($-$$) db 0
stage2_unit:    dd 0                    ; 1a8  field: where stage 2 is
stage2_units:   dw 0                    ; 1ac  field: its length, at most 60
unit_shift:     db 0                    ; 1ae  field: 0 on a disk, 2 on a CD
drive:          db 0                    ; 1af  from the BIOS
        times 510-($-$$) db 0           ; 1b8  disk signature and partition table, when it is a disk
                dw 0xaa55

; -------------------------------------------------------------------------------------------------------- stage 2
section stage2 start=512 vstart=STAGE2

STAGE2_MAGIC    equ "LKB2"

        jmp short main
stage2_magic:   dd STAGE2_MAGIC         ; 2
                dw 0
kernel_unit:    dd 0                    ; 8    field: where the kernel is
kernel_size:    dd 0                    ; 12   field: its size in bytes
initrd_unit:    dd 0                    ; 16   field: where the initrd is
initrd_size:    dd 0                    ; 20   field: its size in bytes; 0 for none
command_line:   dw command_line_text    ; 24   the command line stands behind the code
command_size:   dw 0                    ; 26   field: its size in bytes, with the NUL

main:   mov si, loading
        call print
        call enable_a20
        mov ax, KERNEL_SEGMENT
        mov fs, ax
        call read_setup
        call load_protected_part
        cmp dword [initrd_size], 0
        je .start
        call place_initrd
        call load_initrd
.start: jmp start_kernel

; Opens the 21st address line, without which memory above 1 MiB shows what is below.
enable_a20:
        mov ax, 0x2401
        int 0x15
        in al, 0x92                     ; "fast A20", for BIOSes that do not know the call
        test al, 2
        jnz .check
        or al, 2
        and al, 0xfe                    ; bit 0 would reset the machine
        out 0x92, al
.check: mov ax, 0xffff
        mov gs, ax
        call .same
        jne .open
        not word [SECTOR0 + 510]        ; the same by chance?
        call .same
        jne .open
        mov si, no_a20
        jmp fail
.same:  mov ax, [gs:SECTOR0 + 510 + 16] ; ffff:7e0e is 107dfe, or 7dfe while the line is shut
        cmp ax, [SECTOR0 + 510]
.open:  ret

; Reads the kernel's boot sector and setup code: at most 65 sectors.
read_setup:
        mov eax, [kernel_unit]
        mov cx, 68
        mov bx, KERNEL_SEGMENT
        call read
        mov si, no_kernel
        cmp dword [fs:HEADER_MAGIC], "HdrS"
        jne fail
        cmp word [fs:VERSION], 0x20a    ; the first that tells pref_address and init_size
        jb fail
        ret

; Loads what follows the setup code. It starts at any sector, but is read from a multiple of 4.
load_protected_part:
        movzx eax, byte [fs:SETUP_SECTS]
        or al, al
        jnz .known
        mov al, 4                       ; "for backwards compatibility"
.known: inc ax                          ; and the boot sector
        mov ebx, eax
        and ebx, 3
        shl ebx, 9                      ; bytes to skip
        mov edx, eax
        shl edx, 9
        neg edx
        add edx, [kernel_size]          ; bytes to load
        and ax, ~3
        add eax, [kernel_unit]
        mov edi, PROTECTED_PART
        jmp load

; Finds the highest place for the initrd: in usable memory, as low as the kernel can address, above where it unpacks.
place_initrd:
        mov eax, [fs:INITRD_ADDR_MAX]
        inc eax
        jnz .below
        dec eax                         ; all of 4 GiB
.below: mov [highest_end], eax
        mov eax, [fs:PREF_ADDRESS]
        add eax, [fs:INIT_SIZE]
        mov [lowest], eax
        xor ebx, ebx
.next:  mov eax, 0xe820
        mov edx, "PAMS"
        mov ecx, 20
        mov di, E820_ENTRY
        int 0x15
        jc .done
        cmp eax, "PAMS"
        jne .done
        call consider
        or ebx, ebx
        jnz .next
.done:  mov si, no_memory
        cmp dword [initrd_place], 0
        je fail
        ret

; Keeps the highest place in the entry at E820_ENTRY, if it is above the best so far. Keeps ebx.
consider:
        cmp dword [E820_ENTRY + 16], 1  ; usable
        jne .done
        cmp dword [E820_ENTRY + 4], 0   ; below 4 GiB
        jne .done
        mov eax, [E820_ENTRY]
        mov ecx, eax
        add ecx, [E820_ENTRY + 8]
        mov edx, [E820_ENTRY + 12]
        adc edx, 0
        jnz .cut                        ; it ends above 4 GiB
        cmp ecx, [highest_end]
        jbe .fits
.cut:   mov ecx, [highest_end]
.fits:  sub ecx, [initrd_size]
        jb .done
        and ecx, ~0xfff
        cmp ecx, eax
        jb .done
        cmp ecx, [lowest]
        jb .done
        cmp ecx, [initrd_place]
        jbe .done
        mov [initrd_place], ecx
.done:  ret

load_initrd:
        mov edi, [initrd_place]
        mov edx, [initrd_size]
        mov [fs:RAMDISK_IMAGE], edi
        mov [fs:RAMDISK_SIZE], edx
        mov eax, [initrd_unit]
        xor ebx, ebx
        ; runs on into load

; Loads edx bytes to address edi, from unit eax of the medium, of which ebx bytes (less than 2048) are skipped.
load:   lea ecx, [edx + ebx + 2047]
        shr ecx, 11
        shl ecx, 2                      ; units to read, in fours
        cmp ecx, BOUNCE_UNITS
        jbe .read
        mov ecx, BOUNCE_UNITS
.read:  push ebx
        mov bx, BOUNCE_SEGMENT
        call read
        pop ebx
        add eax, ecx
        shl ecx, 9
        sub ecx, ebx                    ; bytes that belong to the file
        cmp ecx, edx
        jbe .copy
        mov ecx, edx
.copy:  lea esi, [BOUNCE_SEGMENT * 16 + ebx]
        call copy_high
        add edi, ecx
        sub edx, ecx
        jz .done
        xor ebx, ebx
        inc byte [chunks]
        test byte [chunks], 127         ; a dot for each 4 MiB
        jnz load
        pushad
        mov si, dot
        call print
        popad
        jmp load
.done:  ret

; Copies ecx bytes, rounded up to a multiple of 4, from address esi to edi. Keeps all registers.
; Real mode addresses 1 MiB: this enters protected mode, where a segment may span all memory, and leaves it again.
copy_high:
        pushad
        push ds
        push es
        cli
        lgdt [gdt_register]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp short .protected
.protected:
        mov bx, gdt.all - gdt
        mov ds, bx
        mov es, bx
        add ecx, 3
        shr ecx, 2
        a32 rep movsd
        mov bx, gdt.real - gdt          ; real mode keeps these limits
        mov ds, bx
        mov es, bx
        and al, 0xfe
        mov cr0, eax
        jmp short .real
.real:  sti
        pop es
        pop ds
        popad
        ret

start_kernel:
        mov byte [fs:TYPE_OF_LOADER], 0xff
        or byte [fs:LOADFLAGS], 0x80    ; CAN_USE_HEAP
        mov word [fs:HEAP_END_PTR], HEAP_END
        mov word [fs:VID_MODE], 0xffff  ; "normal"
        mov dword [fs:CMD_LINE_PTR], KERNEL_SEGMENT * 16 + COMMAND_LINE
        push fs
        pop es
        mov si, [command_line]
        mov di, COMMAND_LINE
        mov cx, [command_size]
        rep movsb
        mov si, done
        call print
        cli
        mov ax, KERNEL_SEGMENT
        mov ds, ax
        mov es, ax
        mov gs, ax
        mov ss, ax
        mov sp, COMMAND_LINE
        jmp KERNEL_SEGMENT + 0x20:0

        align 8, db 0
gdt:            dq 0
.all:   equ $
                dq 0x00cf92000000ffff   ; data, 4 GiB from 0
.real:  equ $
                dq 0x000092000000ffff   ; data, 64 KiB from 0
gdt_register:   dw gdt_register - gdt - 1
                dd gdt

lowest:         dd 0
highest_end:    dd 0
initrd_place:   dd 0
chunks:         db 0

loading:        db 13, 10, "lkit: loading", 0
dot:            db ".", 0
done:           db " done", 13, 10, 0
no_a20:         db "address line 20 stays shut", 0
no_kernel:      db "the kernel is not where it should be, or older than 2.6.31", 0
no_memory:      db "not enough memory for the initrd", 0

command_line_text:
